"""Compare `llmkit plan` with what `llmkit pretrain` then takes: peak memory and wall time of the whole command.

    python benchmarks/plan.py TOKENS OUT [all]

TOKENS is any token artifact of up to 16k ids; OUT receives the logs and `plan.json`. Three settings, one per size,
take four minutes on 2 cores; `all` runs six. Prints a Markdown table; wall time lies between half the processor's time,
which is all that 2 free cores would need, and what others on the machine make of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _measure import machine

# Preset, context length, tokens of a batch and of a forward pass, steps.
RUNS = [
    ("llama-1m", 1024, 16384, 16384, 8), ("llama-7m", 512, 16384, 4096, 6), ("llama-30m", 512, 4096, 4096, 8),
]  # fmt: skip
MORE = [
    ("llama-1m", 512, 4096, 4096, 20), ("llama-7m", 1024, 16384, 16384, 6), ("llama-30m", 1024, 16384, 16384, 3),
]  # fmt: skip
VOCABULARY = 16384
HEADINGS = (
    "model", "context", "tokens at a time", "memory, planned", "measured", "ratio",
    "time, planned", "measured", "processor time", "load",
)  # fmt: skip
MAX_SECONDS = 300
"""A run that takes longer is ended and counted as failed."""


def main(tokens: Path, out: Path, runs: list[tuple[str, int, int, int, int]]) -> None:
    """Plan and run each setting, print and write what came out; a run that fails is reported and left out."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + "---|" * len(HEADINGS))
    for preset, context, batch, micro, steps in runs:
        sets = {"model": preset, "context_length": context, "batch_tokens": batch, "micro_batch_tokens": micro}
        fixed = {"model.config.vocab_size": VOCABULARY, "compile": "false", "max_steps": steps, "samples.count": 0}
        arguments = [f"--set={key}={value}" for key, value in {**sets, **fixed}.items()]
        found = compare([*arguments, "--data", str(tokens)], out / f"{preset}-{context}-{micro}.log")
        rows.append({**sets, "steps": steps, "load": os.getloadavg()[0], **found})
        _print_row(rows[-1])
        # After every run, so that one that is stopped leaves what it found.
        facts = {"machine": machine(["torch", "transformers", "accelerate"]), "runs": rows}
        (out / "plan.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")


def _print_row(row: dict[str, Any]) -> None:
    name = f"| {row['model']} | {row['context_length']} | {row['micro_batch_tokens']:,} |"
    if "failed" in row:
        print(f"{name} failed: {row['failed']} |", flush=True)
        return
    (planned, measured), seconds = (size / 1e9 for size in row["memory"]), row["seconds"]
    print(
        f"{name} {planned:.2f} GB | {measured:.2f} GB | {planned / measured:.2f} | {seconds[0]:.0f} s"
        f" | {seconds[1]:.0f} s | {row['cpu_seconds']:.0f} s | {row['load']:.1f} |",
        flush=True,
    )


def compare(arguments: list[str], log: Path) -> dict[str, Any]:
    """Return planned and measured bytes and seconds, and the processor's seconds; else why there are none."""
    command = [sys.executable, "-m", "llmkit"]
    plan = subprocess.run([*command, "plan", "--json", *arguments], check=False, capture_output=True, text=True)
    if plan.returncode:
        return {"failed": f"plan ended with {plan.returncode}: {plan.stderr.strip()}"}
    planned = json.loads(plan.stdout)
    with tempfile.TemporaryDirectory(dir=log.parent) as folder, log.open("wb") as file:
        start = time.perf_counter()
        run = subprocess.Popen(
            ["timeout", "-k", "30", str(MAX_SECONDS), *command, "pretrain", "-o", f"{folder}/model", *arguments],
            stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, usage = os.wait4(run.pid, 0)  # the usage of what `timeout` waited for is in its own
        seconds = time.perf_counter() - start
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        return {"failed": f"pretrain ended with {run.returncode}; see {log}"}
    return {
        "memory": (planned["memory"]["total"], usage.ru_maxrss * 1024),
        "seconds": (planned["seconds"], seconds),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), RUNS + MORE if sys.argv[3:] == ["all"] else RUNS)
