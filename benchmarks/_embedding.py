"""The contenders of finetune_embedding.py, a process each: `_embedding.py NAME OUT MODEL PAIRS HELDOUT SETTINGS`.

`found.json` in OUT has pairs per second after the first step, and recall@1 on the held-out pairs where that is wanted.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

WARM = 1
"""Steps that are not counted."""
TEMPERATURE, LONGEST = 0.05, 256


def llmkit(out: Path, model: Path, pairs: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """`llmkit finetune`, from the file of pairs on."""
    from llmkit.cli.main import run

    options = {
        "objective": f"{{type: embedding, temperature: {TEMPERATURE}}}",
        "batch_rows": settings["batch"],
        "context_length": LONGEST,
        "micro_batch_tokens": settings["micro_batch_tokens"],
        "optimizer": f"{{type: adamw, lr: {settings['lr']}, weight_decay: 0.0}}",
        "schedule": "{type: linear, warmup_steps: 10, min_lr_ratio: 0}",
        "validation_fraction": 0,
        "precision": "float32",
        "log_every": 1,
        "workers": 1,
    }
    flags = [part for name, value in options.items() for part in ("-s", f"{name}={value}")]
    limit = ["--max-steps", str(settings["steps"])]
    begun = time.perf_counter()
    assert run(["finetune", "--data", str(pairs), "--model", str(model), "-o", str(out / "model"), *flags, *limit]) == 0
    rows = [json.loads(line) for line in (out / "model/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    times = {row["step"]: row["elapsed_s"] for row in rows if "loss" in row}
    steps = max(times) - WARM
    rate = steps * settings["batch"] / (times[max(times)] - times[WARM])
    return {"pairs_per_s": rate, "losses": [row["loss"] for row in rows if "loss" in row],
            "command_s": time.perf_counter() - begun, "steps": max(times)}  # fmt: skip


def peer(out: Path, model: Path, pairs: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """sentence-transformers as its guide has it, with the cached loss where `mini` rows at a time are asked for."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
    )
    from transformers import TrainerCallback

    times: dict[int, float] = {}
    losses: list[float] = []

    class Callback(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the interface
            times[state.global_step] = time.perf_counter()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            losses.extend([logs["loss"]] if "loss" in logs else [])

    begun = time.perf_counter()
    network = SentenceTransformer(str(model), device="cpu")
    network.max_seq_length = LONGEST
    rows = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    data = Dataset.from_dict({name: [row[name] for row in rows] for name in ("query", "positive")})
    scale, mini = 1 / TEMPERATURE, settings["mini"]
    loss = (
        CachedMultipleNegativesRankingLoss(network, scale=scale, mini_batch_size=mini)
        if mini
        else MultipleNegativesRankingLoss(network, scale=scale)
    )
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(out), per_device_train_batch_size=settings["batch"], max_steps=settings["steps"], use_cpu=True,
        seed=0, learning_rate=settings["lr"], warmup_steps=10, lr_scheduler_type="linear", logging_steps=1,
        save_strategy="no",
        report_to=[], disable_tqdm=True,
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        model=network, args=arguments, train_dataset=data, loss=loss, callbacks=[Callback()]
    )
    trainer.train()
    steps = max(times) - WARM
    rate = steps * settings["batch"] / (times[max(times)] - times[WARM])
    spent = time.perf_counter() - begun
    if settings["recall"]:
        network.save_pretrained(str(out / "model"))
    return {"pairs_per_s": rate, "losses": losses, "command_s": spent, "steps": max(times)}


def recall(model: Path, heldout: Path) -> dict[str, float]:
    """Return how often a query finds its own text among all held-out ones, by sentence-transformers' vectors."""
    import numpy as np
    from sentence_transformers import SentenceTransformer

    network = SentenceTransformer(str(model), device="cpu")
    rows = [json.loads(line) for line in heldout.read_text(encoding="utf-8").splitlines()]
    queries, texts = (
        network.encode([row[name] for row in rows], normalize_embeddings=True) for name in ("query", "positive")
    )
    scores = queries @ texts.T
    own = scores.diagonal()[:, None]
    ranks = 1 + (scores > own).sum(1)
    return {"recall_at_1": float(np.mean(ranks == 1)), "recall_at_10": float(np.mean(ranks <= 10))}


def base(out: Path, model: Path, pairs: Path, settings: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    """The model as it is."""
    return {}


if __name__ == "__main__":
    name, *places = sys.argv[1:5]
    out, model, pairs = map(Path, places)
    heldout, settings = Path(sys.argv[5]), json.loads(sys.argv[6])
    found = {"llmkit": llmkit, "sentence-transformers": peer, "base": base}[name](out, model, pairs, settings)
    if settings["recall"]:
        found |= recall(model if name == "base" else out / "model", heldout)
    (out / "found.json").write_text(json.dumps(found))
