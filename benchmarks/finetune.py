"""How fast `llmkit finetune` encodes conversations and trains classifiers, and what it makes of real models and data.

python benchmarks/finetune.py [--rows 100000] [--train-rows 20000] [--cases encode,train] [--rounds 3] [--json FILE]
python benchmarks/finetune.py --cases chat,reviews,code --data DIR [--model FILE.gguf] [--seeds 3] [--json FILE]

`encode`: conversations of Python's documentation (see _corpus.py) with a ChatML template to ids and what of them the
assistant says, with two processes. The peer is `datasets.map(num_proc=2, batched=True)` over `apply_chat_template`
with `return_assistant_tokens_mask`, which needs a template with marks; `rows` is the same without batches, as TRL has
it, and `no-mask` leaves out the mask, so that it does less. The start of Python and the imports are not counted, those
of worker processes are. Memory is that of all processes, pages that several share counted in parts (PSS).

`train`: rows per second of a small BERT, 32 rows a step, on rows of uneven lengths, 60 steps after the first 10, by
two threads; the peer is `transformers.Trainer`, which lays rows of like length together, too. Both as they come (llmkit
multiplies in bf16 where the processor can, Trainer in float32), and both in either type.

Contenders run in processes of their own, on two cores, in turns; medians are shown. Linux only.

The cases on real data, each in a module `_tuned_NAME.py` that says what it does, run commands of llmkit alone, on data
sets in a folder (`--data`), once per seed; medians are what is claimed.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

from _compare import GB, MB, Bench, finish, print_claims
from _corpus import make_pool, make_rows, python_docs, read_texts
from _finetuning import differing, write_chats
from _measure import RunError, run

HERE = Path(__file__).parent
PACKAGES = ("llmkit", "gigatoken", "tokenizers", "transformers", "datasets", "torch", "accelerate", "numpy")
CASES = ("encode", "train")
REAL = tuple(sorted(path.stem.removeprefix("_tuned_") for path in HERE.glob("_tuned_*.py")))
VOCAB_SIZE = 32_768


def compare(bench: Bench, case: str, names: list[str], data: Path, who: list[str]) -> dict[str, dict[str, Any]]:
    """Let contenders take turns, and add and return a row with the medians of each."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _, name in itertools.product(range(bench.rounds), names):
        if name not in found or (who and name not in who):
            continue
        out, log = bench.work / "out" / name, bench.work / "logs" / f"{case}-{name}.log"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        command = [sys.executable, str(HERE / "_finetuning.py"), name, str(out), str(data)]
        try:
            threads = 1 if case == "encode" else 2
            measured = run(command, cores=sorted(os.sched_getaffinity(0))[-2:], log=log, shared=True, threads=threads)
        except RunError as error:
            bench.failures.append(f"{case}: {name}: {error}")
            del found[name]
            continue
        facts = {"cpu_seconds": measured.cpu_seconds, "peak_bytes": measured.peak_bytes}
        found[name].append({**json.loads((out / "found.json").read_text()), **facts})
        print(f"  {case}: {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    rows = {
        name: {"case": case, "who": name, **{key: statistics.median(run[key] for run in runs) for key in runs[0]},
               "all": runs}
        for name, runs in found.items()
        if runs
    }  # fmt: skip
    bench.rows += rows.values()
    return rows


def encode(bench: Bench, texts: list[str], num_rows: int, who: list[str]) -> None:
    """Conversations to ids and masks."""
    data = bench.work / f"chats-{num_rows}"
    if not data.exists():
        pool = make_pool(iter(texts))
        size = 2000 * num_rows  # more than they need
        tokens = write_chats(data, texts, num_rows, lambda: (row["text"] for row in make_rows(pool, size)), VOCAB_SIZE)
        print(f"{num_rows:,} conversations of about {tokens} tokens", file=sys.stderr)
    peers = ["datasets-map", "datasets-map-rows", "datasets-map-no-mask"]
    found = compare(bench, "encode", ["llmkit", *peers], data, who)
    for row in found.values():
        row["rows_per_s"] = num_rows / row["seconds"]
    if {"llmkit", "datasets-map"} <= set(found):
        best = min(found[peer]["seconds"] for peer in peers[:2] if peer in found)
        bench.claim("times the speed of datasets.map(num_proc=2)", best / found["llmkit"]["seconds"], ">=", 3)
        bench.claim("GB of memory, all processes", found["llmkit"]["peak_bytes"] / GB, "<=", 0.6)
        wrong = differing(bench.work / "out/llmkit/encoded/train", bench.work / "out/datasets-map/saved")
        bench.claim("rows with other ids or another mask", wrong, "<=", 0)


def train(bench: Bench, num_rows: int, who: list[str]) -> None:
    """A small classifier on rows of uneven lengths."""
    names = ["llmkit-train", "Trainer", "llmkit-float32", "Trainer-bf16", "Trainer-random"]
    found = compare(bench, "train", names, Path(str(num_rows)), who)
    pairs = {("llmkit-train", "Trainer"): "as both come", ("llmkit-float32", "Trainer"): "both in float32",
             ("llmkit-train", "Trainer-bf16"): "both in bf16"}  # fmt: skip
    for (own, peer), what in pairs.items():
        if {own, peer} <= set(found):
            ratio = found[own]["rows_per_s"] / found[peer]["rows_per_s"]
            bench.claim(f"times the rows/s of Trainer, grouped by length, {what}", ratio, ">=", 1.5)
    if "llmkit-train" in found:
        bench.claim("share of padding", found["llmkit-train"]["padding"], "<=", 0.05)


def print_tables(bench: Bench) -> None:
    """Print the rows and the claims."""
    timed = [row for row in bench.rows if row["case"] in CASES]
    for row in bench.rows if not timed else ():
        values = (
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
        print("  ".join(values))
    if timed:
        print_timed(timed)
    print_claims(bench)


def print_timed(rows: list[dict[str, Any]]) -> None:
    """Print what contenders took."""
    print(f"{'case':8} {'who':22} {'s':>8} {'rows/s':>9} {'CPU s':>8} {'peak MB':>8} {'padding':>8}")
    for row in rows:
        seconds = f"{row['seconds']:8.1f}" if "seconds" in row else " " * 8
        padding = f"{row['padding']:8.1%}" if "padding" in row else ""
        rates = f"{row['rows_per_s']:9.0f} {row['cpu_seconds']:8.1f} {row['peak_bytes'] / MB:8.0f}"
        print(f"{row['case']:8} {row['who']:22} {seconds} {rates} {padding}")


def main() -> None:
    """Measure, print the tables and write the JSON; exit code 1 where a claim is missed or could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, nargs="+", help="text to make the conversations of (see _corpus.py)")
    parser.add_argument("--rows", type=int, default=100_000, help="conversations to encode")
    parser.add_argument("--train-rows", type=int, default=20_000, help="rows of the data that is trained on")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=CASES, help=",".join((*CASES, *REAL)))
    parser.add_argument("--data", type=Path, help="folder with the real data sets")
    parser.add_argument("--model", type=Path, help="SmolLM2-135M-Instruct in GGUF, for `chat` and `code`")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each case on real data")
    parser.add_argument("--steps", type=int, help="steps of each training on real data, to try it out")
    parser.add_argument("--who", type=lambda text: text.split(","), default=[], help="only these contenders")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keep inputs, outputs and logs here (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    if unknown := set(args.cases) - {*CASES, *REAL}:
        parser.error(f"no case {', '.join(unknown)}; valid: {', '.join((*CASES, *REAL))}")
    bench = Bench(args.work or Path(tempfile.mkdtemp(prefix="llmkit-benchmark-")), args.rounds)
    try:
        if "encode" in args.cases:
            texts = list(chain.from_iterable(map(read_texts, args.input)) if args.input else python_docs())
            encode(bench, texts, args.rows, args.who)
        if "train" in args.cases:
            train(bench, args.train_rows, args.who)
        for case in (case for case in args.cases if case in REAL):
            importlib.import_module(f"_tuned_{case}").measure(bench, args)
    except RunError as error:
        bench.failures.append(str(error))
    finally:
        if not args.work:
            shutil.rmtree(bench.work)
    print_tables(bench)
    finish(bench, args.json, PACKAGES)


if __name__ == "__main__":
    main()
