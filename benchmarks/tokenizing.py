"""How fast `llmkit tokenize` is: against `datasets.map`, against the bare encoder, in training, and in reading back.

python benchmarks/tokenizing.py [--input FILE|DIR ...] [--size 100MB] [--cases encode,train,read] [--json FILE]

The text is made from the inputs (see _corpus.py), which should be English, code and Chinese: JSON Lines with a `text`;
without any it is Python's documentation. Every contender runs in a process of its own, on two cores, and takes the time
of its work itself, without the start of Python and of its libraries, which is the same for all of them; that of worker
processes counts. They take turns; medians are shown. Linux only. (Not `tokenize.py`: every script beside a file of that
name would import it in the place of the standard library's.)
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from _compare import GB, MB, Bench, finish, parse_size, print_claims
from _corpus import make_pool, make_rows, python_docs, read_texts
from _measure import RunError, run

HERE = Path(__file__).parent
PACKAGES = ("llmkit", "gigatoken", "tokenizers", "transformers", "datasets", "pyarrow", "numba", "numpy")
CASES = ("encode", "train", "read")
VOCAB_SIZE = 32_768


def compare(bench: Bench, case: str, names: list[str], num_bytes: int, inputs: dict[str, Path]) -> None:
    """Let contenders take turns and add a row with the medians for each."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
    for _, name in itertools.product(range(bench.rounds), names):
        out, log = bench.work / "out" / name, bench.work / "logs" / f"{case}-{name}.log"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        command = [sys.executable, str(HERE / "_tokenizing.py"), name, str(out), *map(str, inputs.values())]
        if name not in found:
            continue
        try:
            measured = run(command, cores=sorted(os.sched_getaffinity(0))[-2:], log=log)
        except RunError as error:
            bench.failures.append(f"{case}: {name}: {error}")
            del found[name]
            continue
        seconds = json.loads((out / "seconds.json").read_text())
        print(f"  {case}: {name}: {seconds:.2f} s", file=sys.stderr)
        found[name].append((seconds, measured.peak_bytes))
    for name, runs in found.items():
        seconds, peak = (statistics.median(column) for column in zip(*runs, strict=True))
        row = {"case": case, "who": name, "bytes": num_bytes, "seconds": seconds, "peak_bytes": int(peak)}
        bench.rows.append({**row, "mb_per_s": num_bytes / MB / seconds, "all_seconds": [s for s, _ in runs]})


def seconds_of(bench: Bench, case: str) -> dict[str, float]:
    """Return the median seconds of a case's contenders."""
    return {row["who"]: row["seconds"] for row in bench.rows if row["case"] == case}


def encode(bench: Bench, num_bytes: int, inputs: dict[str, Path]) -> None:
    """Read Parquet, encode, write Arrow, with two workers."""
    from _tokenizing import same_ids

    names = ["llmkit", "bare", "bare-in-memory", "datasets-map", "llmkit-tokenizers"]
    compare(bench, "encode", names, num_bytes, inputs)
    found = seconds_of(bench, "encode")
    if {"llmkit", "bare", "datasets-map"} <= set(found):
        bench.claim("times the speed of datasets.map(num_proc=2)", found["datasets-map"] / found["llmkit"], ">=", 8)
        bench.claim("share of the bare encoder's speed", found["bare"] / found["llmkit"], ">=", 0.8)
        differing = same_ids(bench.work / "out/llmkit/tokens", bench.work / "out/bare")
        bench.claim("documents with other ids than the bare encoder's", differing, "<=", 0)
        peak = next(row["peak_bytes"] for row in bench.rows if row["who"] == "llmkit")
        bench.claim("GB of memory, all processes", peak / GB, "<=", 1)


def train(bench: Bench, num_bytes: int, inputs: dict[str, Path]) -> None:
    """Train a byte-level BPE on the train split of the corpus, from Parquet, against `tokenizers` from memory."""
    compare(bench, "train", ["llmkit-train", "tokenizers-train"], num_bytes, inputs)
    found = seconds_of(bench, "train")
    if len(found) == 2:
        bench.claim("times as long as tokenizers alone", found["llmkit-train"] / found["tokenizers-train"], "<=", 1.1)


def read(bench: Bench, inputs: dict[str, Path]) -> None:
    """Take random blocks out of a shard of the tokens that the case `encode` has made."""
    compare(bench, "read", ["read"], 0, {**inputs, "tokens": bench.work / "out/llmkit/tokens"})
    bench.rows = [row for row in bench.rows if row["case"] != "read"]
    for row in json.loads((bench.work / "out/read/blocks.json").read_text()):
        bench.rows.append({"case": "read", "who": f"{row['tokens']} tokens", **row})
        bench.claim(f"bytes copied for a block of {row['tokens']}", row["bytes_copied"], "<=", 0)


def write_inputs(bench: Bench, texts: Callable[[], list[str]], size: int) -> tuple[int, dict[str, Path]]:
    """Make a corpus artifact of the size, and a tokenizer; return its bytes and where both are."""
    from _tokenizing import make_corpus, make_tokenizer

    places = {"corpus": bench.work / "corpus", "tokenizer": bench.work / "tokenizer"}
    pool = make_pool(iter(texts()))
    num_bytes = make_corpus(places["corpus"], (row["text"] for row in make_rows(pool, size)))
    make_tokenizer(places["tokenizer"], places["corpus"], VOCAB_SIZE)
    return num_bytes, places


def print_tables(bench: Bench) -> None:
    """Print the rows and the claims."""
    print(f"{'case':8} {'who':18} {'MB':>7} {'s':>8} {'MB/s':>8} {'peak MB':>8}")
    for row in bench.rows:
        if row["case"] == "read":
            speeds = f"{row['views_per_s']:10,.0f} views/s {row['reads_per_s']:10,.0f} reads/s"
            print(f"{row['case']:8} {row['who']:18} {speeds} {row['bytes_touched']:9,} bytes touched")
            continue
        sizes = f"{row['bytes'] / MB:7.1f} {row['seconds']:8.2f} {row['mb_per_s']:8.2f} {row['peak_bytes'] / MB:8.0f}"
        print(f"{row['case']:8} {row['who']:18} {sizes}")
    print_claims(bench)


def main() -> None:
    """Measure, print the tables and write the JSON; exit code 1 where a claim is missed or could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, nargs="+", help="text to make the corpus of")
    parser.add_argument("--size", type=parse_size, default="100MB", help="bytes of the corpus")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=CASES, help=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keep inputs, outputs and logs here (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    if unknown := set(args.cases) - set(CASES):
        parser.error(f"no case {', '.join(unknown)}; valid: {', '.join(CASES)}")
    work = args.work or Path(tempfile.mkdtemp(prefix="llmkit-benchmark-"))
    bench = Bench(work, args.rounds)
    try:
        texts = (lambda: list(chain.from_iterable(map(read_texts, args.input)))) if args.input else python_docs
        num_bytes, inputs = write_inputs(bench, texts, args.size)
        if "encode" in args.cases or "read" in args.cases:
            encode(bench, num_bytes, inputs)
        if "read" in args.cases and not bench.failures:
            read(bench, inputs)
        if "train" in args.cases:
            train(bench, num_bytes, inputs)
    finally:
        if not args.work:
            shutil.rmtree(work)
    print_tables(bench)
    finish(bench, args.json, PACKAGES)


if __name__ == "__main__":
    main()
