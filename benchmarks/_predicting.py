"""The contenders of benchmarks/predict.py: each labels all rows once and notes what it took in `OUT/found.json`.

python benchmarks/_predicting.py CONTENDER OUT MODEL ROWS
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LABELS = ["negative", "positive"]


def make_classifier(body: Path, out: Path) -> None:
    """Put a head with random weights on an encoder: what its labels mean is all the same to the clock."""
    import torch

    from llmkit.modeling.heads.sequence_classification import SequenceClassification
    from llmkit.modeling.load import load_model

    model: Any = load_model(body, SequenceClassification(labels=LABELS), seed=1)
    with torch.no_grad():
        model.classifier.weight.normal_(0, 0.3)
    model.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(body / name, out / name)


def llmkit(precision: str) -> Callable[[Path, Path, Path], None]:
    """Return llmkit's own way in a number format."""

    def work(out: Path, model: Path, rows: Path) -> None:
        from llmkit.cli.main import run

        answer = "-s", f"precision={precision}"
        assert run(["predict", str(model), "-i", str(rows), "-o", str(out / "predictions"), "-q", *answer]) == 0

    return work


def pipeline(batch_size: int) -> Callable[[Path, Path, Path], None]:
    """Return the pipeline of transformers with a batch size, as its documentation feeds it: from a generator."""

    def work(out: Path, model: Path, rows: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq
        from transformers import pipeline

        texts = [json.loads(line)["text"] for line in rows.read_text(encoding="utf-8").splitlines()]
        labels = pipeline("text-classification", model=str(model), top_k=None, device=-1)
        found = labels((text for text in texts), batch_size=batch_size, truncation=True)
        columns: list[dict[str, float]] = [{item["label"]: item["score"] for item in row} for row in found]
        pq.write_table(pa.table({"text": texts, "scores": columns}), out / "scores.parquet")

    return work


CONTENDERS = {
    "llmkit": llmkit("float32"),
    "llmkit-bf16": llmkit("bf16"),
    **{f"pipeline-{size}": pipeline(size) for size in (1, 8, 32, 64, 128)},
}


def scores(out: Path) -> list[dict[str, float]]:
    """Return the probabilities that a contender has written, in the order of the rows."""
    import pyarrow.parquet as pq

    files = [*sorted((out / "predictions").glob("data-*.parquet")), *out.glob("scores.parquet")]
    return [row for file in files for row in pq.read_table(file, columns=["scores"])["scores"].to_pylist()]


def main() -> None:
    """Import what is needed, then do the work and write down how long it took."""
    name, out, model, rows = sys.argv[1], *map(Path, sys.argv[2:])
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    import torch
    import transformers  # noqa: F401 - its import is not measured

    import llmkit.prediction.run
    import llmkit.stages.predict  # noqa: F401

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    start, cpu = time.perf_counter(), time.process_time()
    CONTENDERS[name](out, model, rows)
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    (out / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
