"""What `llmkit finetune -s objective=sequence_to_sequence` makes of a new T5: translations, and summaries.

python benchmarks/finetune_translation.py translation PAIRS.jsonl.gz [--steps 2000] [--out DIR] [--json FILE]
python benchmarks/finetune_translation.py summarization [--steps 2000] [--out DIR] [--json FILE]

Everything begins from nothing: `llmkit tokenize` on the training texts, a T5 of new weights from `llmkit pretrain`,
`llmkit finetune`, and `llmkit predict` on rows held out by a hash of the source, of which neither text stands in the
training data. Translation: `src` to `tgt`, scored by chrF, beside copying the source and beside word for word: the
likeliest translation of each word by IBM model 1 from the same training pairs, joined without spaces. Summarization: of
each docstring of the standard library the first sentence, from what follows it, scored by ROUGE-L, beside the first
sentence of what follows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _texts_of_texts import (
    TEST_SHARES,
    Pair,
    docstrings,
    first_sentence,
    split,
    translations,
    word_for_word,
    word_table,
)

SIZES = {
    "translation": {"d_model": 192, "d_ff": 512, "d_kv": 32, "num_layers": 2, "num_heads": 6},
    "summarization": {"d_model": 192, "d_ff": 512, "d_kv": 32, "num_layers": 2, "num_heads": 6},
}
VOCABULARY = {"translation": 6000, "summarization": 6000}
LONGEST = {"translation": 160, "summarization": 600}
"""Characters of a source."""
ROWS = 400


def llmkit(*arguments: object) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "llmkit", *map(str, arguments)], check=True)


def write(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def train(task: str, pairs: Sequence[Pair], out: Path, steps: int, more: Sequence[str]) -> Path:
    """Make a tokenizer, a model of new weights, and train it; return its directory."""
    texts = write(out / "texts.jsonl", [{"text": text} for pair in pairs for text in pair])
    rows = write(out / "pairs.jsonl", [{"source": source, "target": target} for source, target in pairs])
    model = json.dumps({**SIZES[task], "feed_forward_proj": "gated-gelu", "dropout_rate": 0.1})
    llmkit("tokenize", "-r", "t5-unigram", "-i", texts, "--vocab-size", VOCABULARY[task], "-o", out / "tokens")
    llmkit(
        "pretrain", "--data", out / "tokens", "-s", "model.arch=t5", "-s", f"model.config={model}", "-s",
        "objective=span_corruption", "-s", "context_length=64", "-s", "batch_tokens=256", "--max-steps", 1, "-o",
        out / "new",
    )  # fmt: skip
    llmkit(
        "finetune", "-r", f"finetune/{task}", "--data", rows, "--model", out / "new", "--max-steps", steps,
        "-s", "max_epochs=null", "-s", "schedule.type=linear", "-s", "optimizer.lr=2e-3", "-s", "compile=false", "-s",
        "validate.every=400", "-s", "objective.writing.rows=50", *more, "-o", out / "model",
    )  # fmt: skip
    return out / "model"


def outputs(model: Path, sources: Sequence[str], out: Path) -> list[str]:
    """Return what the model writes about sources, by `llmkit predict`."""
    import pyarrow.parquet as pq

    asked = write(out / "asked.jsonl", [{"source": source} for source in sources])
    llmkit("predict", model, "-i", asked, "-o", out / "said", "-s", "keep=[]")
    rows = [row for path in sorted((out / "said").glob("data-*.parquet")) for row in pq.read_table(path).to_pylist()]
    return [row["output"] or "" for row in sorted(rows, key=lambda row: row["row"])]


def score(task: str, said: Sequence[str], right: Sequence[str]) -> float:
    """Return chrF of translations, ROUGE-L of summaries."""
    from llmkit.metrics.chrf import ChrF
    from llmkit.metrics.rouge import Rouge

    metric: Any = ChrF() if task == "translation" else Rouge(types=["rougeL"])
    # Not by `load`: the package `evaluate` is hidden by the benchmark of that name beside this one.
    (found,) = metric._score([*said], [[text] for text in right]).values()
    return float(found)


def baselines(task: str, pairs: Sequence[Pair], sources: Sequence[str]) -> dict[str, list[str]]:
    """Return what is written without a model, by its name."""
    if task == "summarization":
        return {"first sentence of the body": [first_sentence(source) for source in sources]}
    import rjieba

    table = word_table(pairs, lambda text: [word for word in rjieba.cut(text) if word.strip()])
    return {"copy": [*sources], "word for word": [word_for_word(table, source) for source in sources]}


def main() -> None:
    """Train, predict, score, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("task", choices=SIZES)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--steps", type=int, default=2000, help="of fine-tuning: minutes differ between machines")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--more", nargs="*", default=[], help="More of `llmkit finetune`.")
    given = parser.parse_args()
    task, longest = given.task, LONGEST[given.task]
    pairs = docstrings(longest) if given.data is None else translations(given.data, longest)
    learned, held = split(pairs, TEST_SHARES[task])
    held = held[:ROWS]
    sources, right = zip(*held, strict=True)
    out = given.out or Path(tempfile.mkdtemp())
    out.mkdir(parents=True, exist_ok=True)
    print(f"{len(learned):,} rows to train on, {len(held):,} held out; {os.cpu_count()} cores", flush=True)
    said = baselines(task, learned, sources)
    found = {name: score(task, texts, right) for name, texts in said.items()}
    print(json.dumps(found), flush=True)
    start = time.monotonic()
    said["llmkit"] = outputs(train(task, learned, out, given.steps, given.more), sources, out)
    found["llmkit"] = score(task, said["llmkit"], right)
    measure = "chrF" if task == "translation" else "ROUGE-L"
    print(f"\n{measure} of {len(held)} rows, after {(time.monotonic() - start) / 60:.1f} minutes in all")
    for name, value in found.items():
        print(f"  {name:28} {value:6.2f}   (llmkit {found['llmkit'] - value:+.2f})")
    for number in range(0, len(held), max(1, len(held) // 6)):
        print(f"\nsource  {sources[number]}\nright   {right[number]}")
        for name, texts in said.items():
            print(f"{name:7} {texts[number]}")
    if given.json:
        given.json.write_text(json.dumps({"task": task, "measure": measure, "rows": len(held), "scores": found}) + "\n")


if __name__ == "__main__":
    main()
