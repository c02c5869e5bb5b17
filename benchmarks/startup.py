"""How long `--help` takes, beside Python's own start and a bare Typer app of as many commands; interleaved, medians.

python benchmarks/startup.py [--summary DIR ...]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import typer

import llmkit
from llmkit.cli.main import app

ROUNDS = 15
HELP = ["", "clean", "tokenize", "pretrain", "finetune", "eval", "export", "lineage"]
LIMIT = 1.3
"""Times what the bare app takes."""


def seconds(command: list[str]) -> float:
    """Run a command and return its wall time."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def bare_app(path: Path, *, boxes: bool = True) -> list[str]:
    """Write a Typer app that has our commands' names and nothing else, and return the command that runs it."""
    names = list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    mode = "" if boxes else "rich_markup_mode=None"
    lines = ["import typer", f"app = typer.Typer({mode})"]
    lines += [f'@app.command("{name}")\ndef f{i}(): "Do {name}."' for i, name in enumerate(names)]
    path.write_text("\n".join([*lines, "app()"]) + "\n", encoding="utf-8")
    return [sys.executable, str(path)]


def main() -> None:
    """Print a table and, last, one JSON object; exit code 1 where `--help` takes over 1.3 times the bare app's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summary", nargs="*", default=[], help="artifacts to time `llmkit summary` on")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bare = bare_app(Path(folder) / "bare.py")
        plain = bare_app(Path(folder) / "plain.py", boxes=False)
        times = measure(bare, plain, args.summary, args.rounds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = medians["python -c pass"]
    for name, value in medians.items():
        against = medians["bare app clean --help" if name.count(" ") == 2 else "bare app --help"]
        times_bare = f"{value / against:6.2f} times the bare app's" if name.startswith("llmkit") else ""
        print(f"{name:34} {value * 1000:6.0f} ms   {(value - base) * 1000:+6.0f} ms {times_bare}".rstrip())
    print(json.dumps({"llmkit": llmkit.__version__, "python": platform.python_version(), "median_s": medians}))
    worst = max(medians[f"llmkit{c}"] / medians[f"bare app{c}"] for c in (" --help", " clean --help"))
    sys.exit(worst > LIMIT)


def measure(bare: list[str], plain: list[str], summary: list[str], rounds: int) -> dict[str, list[float]]:
    """Return the wall times of every command, taken in turns."""
    module = [sys.executable, "-m", "llmkit"]
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    for name, head in (("bare app", bare), ("bare app without boxes", plain)):
        commands |= {f"{name} --help": [*head, "--help"], f"{name} clean --help": [*head, "clean", "--help"]}
    commands |= {f"llmkit {stage} --help".replace("  ", " "): [*module, *stage.split(), "--help"] for stage in HELP}
    if summary:
        commands["llmkit summary"] = [*module, "summary", *summary]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(seconds(command))
    return times


if __name__ == "__main__":
    main()
