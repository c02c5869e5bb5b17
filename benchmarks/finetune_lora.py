"""How fast `llmkit finetune --lora` trains conversations, beside TRL's SFTTrainer with the same LoRA of peft.

python benchmarks/finetune_lora.py --model DIR [--rows 64] [--rounds 3] [--who llmkit,trl-packed] [--json FILE]

The model is a directory, for example SmolLM2-135M-Instruct from its GGUF file (`llmkit export --model FILE -o DIR`).
Conversations of one question and one answer, made of Python's documentation (see _corpus.py), are trained on for one
epoch in blocks of 512 tokens, 4,096 a step, with rank 16 beside all matrices of the body, by two threads. Rates are of
trained tokens, those of answers, after the first step; both sides count their own. They are taken by the clock, and by
the processor's seconds of the process, which are what compares on a machine that has other work; `taskset -c 1` before
the command leaves one core and one thread. Memory is the largest sum of
resident sets, the start of Python and the imports included. `trl` and `llmkit` are as they come, `-float32` and
`-packed` say what was set: on processors that do not multiply bf16, TRL's default of bf16 is slower than float32.

`start`: seconds from the command to the end of a first step of 512 tokens, and the processor's.

Contenders run in processes of their own, in turns; medians are shown. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

from _compare import MB, Bench, finish, print_claims
from _corpus import python_docs, read_texts
from _finetuning import chats
from _measure import RunError, run

PACKAGES = ("llmkit", "trl", "peft", "transformers", "torch", "accelerate", "datasets")
CONTEXT, RANK, LR = 512, 16, 1e-4
SETTINGS: dict[str, dict[str, Any]] = {
    "llmkit": {},
    "llmkit-float32": {"precision": "float32"},
    "trl": {},
    "trl-float32": {"bf16": False},
    "trl-packed": {"bf16": False, "packing": True},
    "trl-packed-kept": {"bf16": False, "packing": True, "gradient_checkpointing": False},
}
"""What differs from how each comes; the last keeps activations instead of computing them twice, as llmkit does."""


def _cores() -> list[int]:
    """Return the last two of the cores that there are, or the one that `taskset` leaves."""
    return sorted(os.sched_getaffinity(0))[-2:]


def write_rows(path: Path, texts: list[str], count: int) -> None:
    """Write conversations of a question and an answer."""
    with path.open("w", encoding="utf-8") as file:
        for turns in islice(chats(texts), count):
            file.write(json.dumps({"messages": turns[:2]}) + "\n")


def train_llmkit(name: str, model: Path, rows: Path, out: Path, batch_tokens: int, more: list[str]) -> dict[str, Any]:
    """Train by the command line, in this process."""
    from llmkit.cli.main import run as llmkit
    from llmkit.core.manifest import read_manifest
    from llmkit.training import watch

    cpu: list[float] = []

    class Clock(watch.MetricsFile):
        def write(self, row: dict[str, Any]) -> None:
            super().write(row)
            cpu.append(time.process_time())

    watch.MetricsFile = Clock  # type: ignore[misc]
    settings = [f"{key}={value}" for key, value in SETTINGS[name].items()]
    options = [
        f"context_length={CONTEXT}", f"batch_tokens={batch_tokens}", "overlength=truncate", "log_every=1",
        "validation_fraction=0", f"adapter.r={RANK}", f"adapter.alpha={2 * RANK}", f"optimizer.lr={LR}",
        "samples.count=0", "max_epochs=1", *settings, *more,
    ]  # fmt: skip
    command = ["finetune", "--lora", "--data", rows, "--model", model, "-o", out / "model", "-q"]
    code = llmkit([*map(str, command), *itertools.chain(*(("-s", option) for option in options))])
    assert code == 0, code
    lines = (out / "model/metrics.jsonl").read_text().splitlines()
    ends = [row["elapsed_s"] for row in map(json.loads, lines) if "loss" in row]
    return facts(read_manifest(out / "model").metrics["targets"], ends, cpu)


def train_trl(name: str, model: Path, rows: Path, out: Path, batch_tokens: int) -> dict[str, Any]:
    """Train with SFTTrainer."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    turns = [json.loads(line)["messages"] for line in rows.read_text(encoding="utf-8").splitlines()]
    data = Dataset.from_list([{"prompt": both[:1], "completion": both[1:]} for both in turns])
    ends: list[float] = []
    cpu: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())
            cpu.append(time.process_time())

    config = SFTConfig(
        output_dir=str(out / "trl"), max_length=CONTEXT, per_device_train_batch_size=batch_tokens // CONTEXT,
        num_train_epochs=1, learning_rate=LR, logging_steps=1, report_to="none", save_strategy="no", use_cpu=True,
        **SETTINGS[name],
    )  # fmt: skip
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(model, dtype="float32"),
        args=config,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=lora,
        callbacks=[Clock()],
    )
    batches = trainer.get_train_dataloader()
    trained = sum(int((batch["labels"] != -100).sum()) for batch in batches)
    trainer.train()
    return facts(trained, ends, cpu)


def facts(trained: int, ends: list[float], cpu: list[float]) -> dict[str, Any]:
    """Return the rates of trained tokens after the first step, by the clock and by the processor's seconds."""
    steps = len(ends)
    found: dict[str, Any] = {"trained_tokens": trained, "steps": steps}
    for name, at in (("trained_per_s", ends), ("trained_per_cpu_s", cpu)):
        found[name] = trained * (steps - 1) / steps / (at[-1] - at[0]) if steps > 1 else float("nan")
    return found


def contend(args: argparse.Namespace) -> None:
    """Do one contender's work and note what it took."""
    function = train_llmkit if args.contender.startswith("llmkit") else train_trl
    more = (args.set,) if function is train_llmkit else ()
    found = function(args.contender, args.model, args.data, args.out, args.batch_tokens, *more)  # type: ignore[operator]
    (args.out / "found.json").write_text(json.dumps(found))


def _children_cpu_s() -> float:
    """Return the processor's seconds of the processes that this one has started and that still run."""
    ticks = 0
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            with contextlib.suppress(OSError):  # it has ended
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure_start(bench: Bench, model: Path, rows: Path) -> None:
    """Seconds from the command to the first logged step."""
    seconds, cpu_seconds = [], []
    for number in range(bench.rounds):
        out = bench.work / f"start-{number}"
        begin, first, cpu = time.perf_counter(), [], [0.0]

        def look(
            partial: Path = out / ".partial/metrics.jsonl", found: list[float] = first, cpu: list[float] = cpu
        ) -> None:
            while not found:
                time.sleep(0.02)
                if partial.exists() and partial.stat().st_size:
                    found.append(time.perf_counter())
                cpu[0] = max(cpu[0], _children_cpu_s())

        threading.Thread(target=look, daemon=True).start()
        options = [f"context_length={CONTEXT}", f"batch_tokens={CONTEXT}", "overlength=truncate", "log_every=1",
                   "validation_fraction=0", "max_steps=1", "samples.count=0"]  # fmt: skip
        command = [sys.executable, "-m", "llmkit", "finetune", "--lora", "--data", str(rows), "--model", str(model)]
        command += ["-o", str(out), "-q", *itertools.chain(*(("-s", option) for option in options))]
        run(command, cores=_cores(), log=bench.work / f"logs/start-{number}.log", threads=len(_cores()))
        seconds.append((first or [time.perf_counter()])[0] - begin)
        cpu_seconds.append(cpu[0])
    took = {"seconds": statistics.median(seconds), "cpu_seconds": statistics.median(cpu_seconds)}
    bench.rows.append({"case": "start", "who": "llmkit", **took, "all": seconds, "all_cpu": cpu_seconds})
    print(f"start: {took['seconds']:.1f} s, {took['cpu_seconds']:.1f} CPU s", flush=True)
    bench.claim("seconds from the command to the end of the first step", statistics.median(seconds), "<=", 10)


def compare(bench: Bench, names: list[str], model: Path, rows: Path, batch_tokens: int, more: list[str]) -> None:
    """Let contenders take turns."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _, name in itertools.product(range(bench.rounds), names):
        if name not in runs:
            continue
        out = bench.work / "out" / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        command = [sys.executable, __file__, "--contender", name, "--model", str(model), "--data", str(rows)]
        command += ["--out", str(out), "--batch-tokens", str(batch_tokens), *(f"--set={option}" for option in more)]
        try:
            log = bench.work / "logs" / f"{name}.log"
            measured = run(command, cores=_cores(), log=log, threads=len(_cores()))
        except RunError as error:
            bench.failures.append(f"{name}: {error}")
            del runs[name]
            continue
        found = json.loads((out / "found.json").read_text())
        took = {"seconds": measured.seconds, "cpu_seconds": measured.cpu_seconds, "peak_bytes": measured.peak_bytes}
        runs[name].append({**found, **took})
        print(f"  {name}: {runs[name][-1]}", file=sys.stderr, flush=True)
    medians = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in runs.items() if found
    }  # fmt: skip
    bench.rows += [{"case": "train", "who": name, **row, "all": runs[name]} for name, row in medians.items()]
    wanted = (("llmkit", "trl", 1.5), ("llmkit", "trl-float32", 1.5), ("llmkit-float32", "trl-packed", 1.2))
    for own, peer, least in wanted:
        if {own, peer} <= set(medians):
            for unit in ("s", "cpu_s"):
                ratio = medians[own][f"trained_per_{unit}"] / medians[peer][f"trained_per_{unit}"]
                bench.claim(f"times the trained tokens/{unit}, {own} beside {peer}", ratio, ">=", least)
            ratio = medians[own]["peak_bytes"] / medians[peer]["peak_bytes"]
            bench.claim(f"of its memory, {own} beside {peer}", ratio, "<=", 0.7)


def main() -> None:
    """Measure, print the table and write the JSON; exit code 1 where a claim is missed or could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="directory of a model with a chat template")
    parser.add_argument("--input", type=Path, nargs="+", help="text to make the conversations of (see _corpus.py)")
    parser.add_argument("--rows", type=int, default=64, help="conversations")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="tokens a step; TRL's default of 8 rows of 512")
    parser.add_argument("--who", type=lambda text: text.split(","), default=list(SETTINGS), help="only these")
    parser.add_argument("--set", action="append", default=[], help="another setting of llmkit's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keep inputs, outputs and logs here (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        contend(args)
        return
    if unknown := set(args.who) - {*SETTINGS, "start"}:
        parser.error(f"no contender {', '.join(unknown)}; valid: {', '.join(SETTINGS)}, start")
    bench = Bench(args.work or Path(tempfile.mkdtemp(prefix="llmkit-benchmark-")), args.rounds)
    bench.work.mkdir(parents=True, exist_ok=True)
    try:
        rows = bench.work / "rows.jsonl"
        texts = itertools.chain.from_iterable(map(read_texts, args.input)) if args.input else python_docs()
        write_rows(rows, list(texts), args.rows)
        if "start" in args.who:
            measure_start(bench, args.model, rows)
        compare(bench, [name for name in args.who if name != "start"], args.model, rows, args.batch_tokens, args.set)
    finally:
        if not args.work:
            shutil.rmtree(bench.work)
    print(f"{'who':18} {'trained/s':>10} {'/CPU s':>8} {'peak MB':>8} {'steps':>6} {'all s':>7} {'CPU s':>7}")
    for row in bench.rows:
        if row["case"] == "train":
            numbers = f"{row['trained_per_s']:10.1f} {row['trained_per_cpu_s']:8.1f} {row['peak_bytes'] / MB:8.0f}"
            print(f"{row['who']:18} {numbers} {row['steps']:6.0f} {row['seconds']:7.1f} {row['cpu_seconds']:7.1f}")
    print_claims(bench)
    finish(bench, args.json, PACKAGES)


if __name__ == "__main__":
    main()
