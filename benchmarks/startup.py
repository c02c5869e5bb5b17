"""How long `--help` takes over Python's own start; interleaved, medians.

python benchmarks/startup.py [--summary DIR ...]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time

import llmkit

ROUNDS = 15
HELP = ["", "clean", "tokenize", "pretrain", "finetune", "eval", "export", "lineage"]


def seconds(command: list[str]) -> float:
    """Run a command and return its wall time."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Print a table and, last, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summary", nargs="*", default=[], help="artifacts to time `llmkit summary` on")
    summary = parser.parse_args().summary
    module = [sys.executable, "-m", "llmkit"]
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    commands |= {f"llmkit {stage} --help".replace("  ", " "): [*module, *stage.split(), "--help"] for stage in HELP}
    if summary:
        commands["llmkit summary"] = [*module, "summary", *summary]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = medians["python -c pass"]
    for name, value in medians.items():
        print(f"{name:28} {value * 1000:6.0f} ms   {(value - base) * 1000:+6.0f} ms")
    print(json.dumps({"llmkit": llmkit.__version__, "python": platform.python_version(), "median_s": medians}))


if __name__ == "__main__":
    main()
