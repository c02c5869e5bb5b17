"""Compare `llmkit plan` with what `llmkit pretrain` then takes: peak memory and wall time of the whole command.

    python benchmarks/plan.py TOKENS OUT

TOKENS is a token artifact of a 16k vocabulary; OUT receives the runs and `plan.json`. Prints a Markdown table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _measure import machine

# Preset, context length, tokens of a batch and of a forward pass, steps.
RUNS = [
    ("llama-1m", 1024, 16384, 16384, 8), ("llama-1m", 512, 4096, 4096, 20),
    ("llama-7m", 1024, 16384, 16384, 6), ("llama-7m", 512, 16384, 4096, 6),
    ("llama-30m", 512, 4096, 4096, 8), ("llama-30m", 1024, 16384, 16384, 3),
]  # fmt: skip


def main(tokens: Path, out: Path) -> None:
    """Plan and run each setting, print and write what came out."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    print(
        "| model | context | tokens at a time | memory, planned | measured | ratio | time, planned | measured | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for preset, context, batch, micro, steps in RUNS:
        sets = {"model": preset, "context_length": context, "batch_tokens": batch, "micro_batch_tokens": micro}
        arguments = [f"--set={key}={value}" for key, value in {**sets, "max_steps": steps}.items()]
        arguments += ["--data", str(tokens)]
        row = {**sets, "steps": steps, **compare(arguments, out / f"{preset}-{context}-{micro}")}
        rows.append(row)
        memory, seconds = [size / 1e9 for size in row["memory"]], row["seconds"]
        print(
            f"| {preset} | {context} | {micro:,} | {memory[0]:.2f} GB | {memory[1]:.2f} GB"
            f" | {memory[0] / memory[1]:.2f} | {seconds[0]:.0f} s"
            f" | {seconds[1]:.0f} s | {seconds[0] / seconds[1]:.2f} |",
            flush=True,
        )
    facts = {"machine": machine(["torch", "transformers", "accelerate"]), "load": os.getloadavg(), "runs": rows}
    (out / "plan.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")


def compare(arguments: list[str], output: Path) -> dict[str, Any]:
    """Return planned and measured bytes and seconds, and the processor's seconds."""
    command = [sys.executable, "-m", "llmkit"]
    done = subprocess.run([*command, "plan", "--json", *arguments], check=True, capture_output=True, text=True)
    planned = json.loads(done.stdout)
    start = time.perf_counter()
    with (output.parent / f"{output.name}.log").open("wb") as log:
        run = subprocess.Popen(
            [*command, "pretrain", "--force", "-o", str(output), *arguments], stdout=log, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"pretrain ended with {run.returncode}; see {log.name}")
    return {
        "memory": (planned["memory"]["total"], usage.ru_maxrss * 1024),
        "seconds": (planned["seconds"], time.perf_counter() - start),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
