"""How fast a model is evaluated, against lm-evaluation-harness, in one run, and whether the numbers are the same.

python benchmarks/eval.py --model DIR [--items FILE] [--limit 100] [--cases zero,fixed,drawn,rolling,generation]
    [--rounds 3] [--cores 2] [--batch 8] [--harness PYTHON]

`zero`: multiple choice by likelihood, of four endings of a text which is its own. `fixed`: the same behind five shots,
the same for all. `drawn`: behind five shots drawn for each item. `rolling`: log-likelihood of whole texts.
`generation`: up to 64 greedy tokens or a line. Texts and items are of Python's own documentation; `--items` takes
others, JSON lines of `question`, `choices` and `answer`.

Both sides get the same requests and as many threads, in whole processes that take turns: the start of Python, imports
and loading count. lm-eval runs in float32 with one of its own batch sizes (`--batch`, a number or `auto`); `--harness`
is the Python that has it, if not this one. Medians are shown; of a machine that does other work, the ratios of CPU time
are those that can be trusted, and with `--cores 1` both sides wait for the same core. Linux only.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from _compare import MB, Bench, finish, print_claims
from _corpus import python_docs
from _measure import RunError, run

HERE = Path(__file__).parent
PACKAGES = ("llmkit", "lm_eval", "transformers", "torch", "tokenizers", "numpy")
SHOTS = 5
TARGETS = {"zero": 3.0, "fixed": 5.0, "drawn": 2.0, "rolling": 1.5, "generation": 2.0}
"""Times the items/s of lm-eval, as claimed."""
MEASURED = ("wall_s", "cpu_s", "first_s", "first_cpu_s", "peak")


def make_items(count: int) -> list[dict[str, Any]]:
    """Return texts that are cut somewhere, each with four endings of which one is its own."""
    rng = random.Random(0)
    texts = [words for text in python_docs() if 60 <= len(words := text.split()) <= 400]
    rng.shuffle(texts)
    items = []
    for words in texts[:count]:
        cut = rng.randint(40, min(80, len(words) - 10))
        choices = [" ".join(words[cut : cut + rng.randint(5, 10)])]
        for other in rng.sample(texts, 3):
            start = rng.randint(40, len(other) - 10)
            choices.append(" ".join(other[start : start + rng.randint(5, 10)]))
        order = rng.sample(range(4), 4)
        items.append({
            "question": " ".join(words[:cut]), "choices": [choices[i] for i in order], "answer": order.index(0),
        })  # fmt: skip
    return items


def read_items(path: Path) -> list[dict[str, Any]]:
    """Return the items in a file."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [json.loads(line) for line in lines]


def requests(case: str, items: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """Return what is asked in a case."""
    rng = random.Random(1)
    if case == "rolling":
        texts = [text for text in python_docs() if len(text) > 200]
        return {"kind": "rolling", "rows": rng.sample(texts, limit)}
    asked = items[:limit]
    if case == "generation":
        prompts = [f"Question: what does this describe?\n{item['question']}\nAnswer:" for item in asked]
        return {"kind": "generate", "rows": [{"prompt": text, "budget": 64, "stop": ["\n"]} for text in prompts]}
    examples = items[limit : limit + 50]
    rows = []
    for item in asked:
        shots = [] if case == "zero" else examples[:SHOTS] if case == "fixed" else rng.sample(examples, SHOTS)
        shown = [f"Text: {one['question']}\nGoes on: {one['choices'][one['answer']]}\n\n" for one in shots]
        context = "".join([*shown, f"Text: {item['question']}\nGoes on:"])
        rows.append({"context": context, "choices": [f" {choice}" for choice in item["choices"]]})
    return {"kind": "score", "rows": rows}


def differ(kind: str, ours: list[Any], theirs: list[Any]) -> float:
    """Return the greatest relative difference of two lists of sums; of texts, the share that differs."""
    if kind == "generate":
        return sum(one.strip() != other.strip() for one, other in zip(ours, theirs, strict=True)) / len(ours)
    pairs = zip(*([value for row in each for value in (row if kind == "score" else [row])] for each in (ours, theirs)),
                strict=True)  # fmt: skip
    return max((abs(one / other - 1) for one, other in pairs), default=math.nan)


def compare(bench: Bench, case: str, given: argparse.Namespace, items: list[dict[str, Any]]) -> None:
    """Let both sides take turns at a case, and note medians and claims."""
    asked = requests(case, items, given.limit)
    file = bench.work / f"{case}.json"
    file.write_text(json.dumps(asked))
    cores = sorted(os.sched_getaffinity(0))[-given.cores :]
    pythons = {"llmkit": sys.executable, "lm-eval": given.harness}
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in pythons}
    for number, (side, python) in itertools.product(range(bench.rounds), pythons.items()):
        out, log = bench.work / f"{case}-{side}.json", bench.work / "logs" / f"{case}-{side}-{number}.log"
        # -P: beside the script lies evaluate.py, which is not the package of that name.
        command = [python, "-P", str(HERE / "_eval_side.py"), side, str(file), str(given.model), str(out), given.batch]
        try:
            measured = run(command, cores=cores, log=log, threads=given.cores)
        except RunError as error:
            bench.failures.append(f"{case}: {side}: {error}")
            return
        took = json.loads(out.read_text())
        found[side].append({**took, "wall_s": measured.seconds, "cpu_s": measured.cpu_seconds,
                            "peak": measured.peak_bytes})  # fmt: skip
        print(f"  {case}: {side}: {measured}", file=sys.stderr, flush=True)
    medians = {
        side: {name: statistics.median(each[name] for each in runs) for name in MEASURED}
        for side, runs in found.items()
    }
    bench.rows += [{"case": case, "who": side, "items": len(asked["rows"]), **row} for side, row in medians.items()]
    ours, theirs = medians["llmkit"], medians["lm-eval"]
    bench.claim(f"{case}: times the items/s of lm-eval", theirs["wall_s"] / ours["wall_s"], ">=", TARGETS[case])
    bench.claim(f"{case}: times its items by CPU time", theirs["cpu_s"] / ours["cpu_s"], ">=", TARGETS[case])
    bench.claim(f"{case}: CPU time to the first result, share", ours["first_cpu_s"] / theirs["first_cpu_s"], "<=", 0.5)
    bench.claim(f"{case}: first result, share of its time", ours["first_s"] / theirs["first_s"], "<=", 0.5)
    bench.claim(f"{case}: peak memory, share of its", ours["peak"] / theirs["peak"], "<=", 0.8)
    worst = differ(asked["kind"], *(found[side][0]["answers"] for side in pythons))
    named = "texts that differ" if case == "generation" else "sums of log-probabilities differ by, relatively"
    bench.claim(f"{case}: {named}", worst, "<=", 0.02 if case == "generation" else 1e-5)


def print_tables(bench: Bench) -> None:
    """Print the rows and the claims."""
    names = ("items", "s", "items/s", "CPU s", "first s", "its CPU", "peak MB")
    print(f"{'case':12} {'who':8}", *(f"{name:>8}" for name in names))
    for row in bench.rows:
        rate = (
            f"{row['items'] / row['wall_s']:8.2f} {row['cpu_s']:8.1f} {row['first_s']:8.2f} {row['first_cpu_s']:8.2f}"
        )
        print(f"{row['case']:12} {row['who']:8} {row['items']:8} {row['wall_s']:8.1f} {rate} {row['peak'] / MB:8.0f}")
    print_claims(bench)


def main() -> None:
    """Measure, print the tables and write the JSON; exit code 1 where a claim is missed or could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a model directory")
    parser.add_argument("--items", type=Path, help="JSON lines of question, choices and answer, instead of our own")
    parser.add_argument("--limit", type=int, default=100, help="items or texts of each case")
    parser.add_argument("--cases", default=",".join(TARGETS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2, help="cores, each with a thread, of both sides")
    parser.add_argument("--batch", default="8", help="batch size of lm-eval: a number or auto")
    parser.add_argument("--harness", default=sys.executable, help="the Python that has lm-eval")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if unknown := set(given.cases.split(",")) - TARGETS.keys():
        parser.error(f"--cases: {min(unknown)} is none; there are {', '.join(TARGETS)}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.rounds)
        items = read_items(given.items) if given.items else make_items(given.limit + 50)
        for case in given.cases.split(","):
            compare(bench, case, given, items)
        print_tables(bench)
        finish(bench, given.json, PACKAGES)


if __name__ == "__main__":
    main()
