"""What exports cost and bring: seconds and memory to write, bytes, and tokens a second beside transformers.

python benchmarks/export.py --model DIR [--formats NAMES] [--rounds 3] [--tokens 64] [--threads 2] [--json FILE]

Each format is written by a process of its own, without the comparison (`write`: from the start of Python to the end of
the file), then asked for greedy tokens behind a prompt of 64 by the runtime that it is for; transformers in float32,
from the model's directory, is asked the same, in turns. Medians are shown; memory is the largest sum of resident sets.
Linux only.
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _compare import GB, MB, Bench, finish, print_claims
from _measure import RunError, run

STEP = Path(__file__).parent / "_exporting.py"
PACKAGES = ("llmkit", "torch", "transformers", "gguf", "libgguf", "xllamacpp", "numpy")
LLAMA_CPP = {"type": "llama_cpp"}
TRANSFORMERS = {"type": "transformers"}
FORMATS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    f"gguf-{dtype}": ({"type": "gguf", "dtype": dtype}, LLAMA_CPP)
    for dtype in ("float32", "float16", "bfloat16", "q8_0", "q6_k", "q5_0", "q4_k", "q4_0")
}
"""By name the exporter and the runtime that runs it."""
DEFAULT = "gguf-float16,gguf-q8_0,gguf-q4_0"
WRITE_S, WRITE_PEAK, SPEED = 15, (1.3, GB), 2


def step(bench: Bench, name: str, *arguments: str, threads: int) -> dict[str, Any] | None:
    """Run a step; None if it failed, which is noted."""
    log = bench.work / "logs" / f"{name}.log"
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    try:
        taken = run([sys.executable, str(STEP), *arguments], cores=cores, log=log, threads=threads)
    except RunError as error:
        bench.failures.append(f"{name}: {error}")
        return None
    found: dict[str, Any] = json.loads(log.read_text().splitlines()[-1])
    return {**found, "seconds": taken.seconds, "peak_bytes": taken.peak_bytes}


def compare(bench: Bench, model: str, names: Sequence[str], tokens: int, threads: int) -> None:
    """Let the formats and transformers take turns."""
    written: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    speeds: dict[str, list[dict[str, Any]]] = {name: [] for name in ("transformers", *names)}
    for number, name in itertools.product(range(bench.rounds), speeds):
        where, runtime = model, TRANSFORMERS
        if name != "transformers":
            exporter, runtime = FORMATS[name]
            where = str(bench.work / "out" / name)
            shutil.rmtree(where, ignore_errors=True)
            taken = step(bench, f"write-{name}-{number}", "write", model, where, json.dumps(exporter), threads=threads)
            if taken is None:
                continue
            written[name].append(taken)
        ran = step(bench, f"run-{name}-{number}", "run", where, json.dumps(runtime), str(tokens), threads=threads)
        if ran is not None:
            speeds[name].append(ran)
            print(f"  {name}: {ran['tokens_per_s']:.1f} tokens/s", file=sys.stderr)
    for name, runs in speeds.items():
        if runs:
            bench.rows.append(row_of(name, written.get(name, []), runs))


def row_of(name: str, written: Sequence[dict[str, Any]], runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of a format."""
    row: dict[str, Any] = {"format": name}
    for key, found, field in (
        ("write_s", written, "seconds"), ("write_peak_bytes", written, "peak_bytes"), ("bytes", written, "bytes"),
        ("load_s", runs, "load_s"), ("run_peak_bytes", runs, "peak_bytes"), ("tokens_per_s", runs, "tokens_per_s"),
    ):  # fmt: skip
        row[key] = statistics.median(one[field] for one in found) if found else None
    row["all_tokens_per_s"] = [one["tokens_per_s"] for one in runs]
    return row


def claim(bench: Bench) -> None:
    """Note what is claimed of Q8_0."""
    rows = {row["format"]: row for row in bench.rows}
    plain = rows.get("transformers")
    for name, row in rows.items():
        if row["write_s"] is None:
            continue
        times, more = WRITE_PEAK
        limit = (times * row["bytes"] + more) / MB
        bench.claim(f"{name}: MB at most while it is written", row["write_peak_bytes"] / MB, "<=", limit)
        if name == "gguf-q8_0":
            bench.claim(f"{name}: seconds to write", row["write_s"], "<=", WRITE_S)
            if plain is not None:
                ratio = row["tokens_per_s"] / plain["tokens_per_s"]
                bench.claim(f"{name}: tokens/s of transformers' in float32", ratio, ">=", SPEED)


def print_table(bench: Bench) -> None:
    """Print the rows and the claims."""
    print(f"{'format':16} {'write s':>8} {'peak MB':>8} {'MB':>7} {'load s':>7} {'run MB':>7} {'tokens/s':>9}")
    for row in bench.rows:
        numbers = (
            (row["write_s"], 1, "8.1f"), (row["write_peak_bytes"], MB, "8.0f"), (row["bytes"], MB, "7.1f"),
            (row["load_s"], 1, "7.2f"), (row["run_peak_bytes"], MB, "7.0f"), (row["tokens_per_s"], 1, "9.1f"),
        )  # fmt: skip
        cells = [
            "-".rjust(int(form[0])) if value is None else f"{value / unit:{form}}" for value, unit, form in numbers
        ]
        print(f"{row['format']:16} {' '.join(cells)}")
    print_claims(bench)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="directory of a causal model")
    parser.add_argument("--formats", default=DEFAULT, help=f"of {', '.join(FORMATS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(Path(work), options.rounds)
        compare(bench, options.model, options.formats.split(","), options.tokens, options.threads)
        claim(bench)
        print_table(bench)
        finish(bench, options.json, PACKAGES)


if __name__ == "__main__":
    main()
