"""Speed and memory of pretraining against transformers.Trainer, the shortest raw loop, and the matrix products alone.

python benchmarks/pretrain.py [--models 7m,30m] [--contexts 512,2048] [--vocabs 16384,50304] [--rounds 5] [--json FILE]

Every contender is a process that sets up once, then takes turns of a few steps with the others, so that the noise of
the machine falls on all alike; medians over the turns are shown. All train the same Llama on blocks of random tokens in
bf16 with fused AdamW; `llmkit packed` packs documents into its blocks and keeps them apart, which no other does. The
time to the first step is from the start of Python, compilation included. `own` is the share of llmkit's step that is
neither forward, backward, clipping nor the optimizer: data, collation, logging.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _measure import machine
from _training import WHO, Setting, command

PACKAGES = ("llmkit", "torch", "transformers", "accelerate")
MODELS = {"7m": (256, 6), "30m": (512, 6)}
"""Hidden size and layers; parameters without the embedding: 4.7 and 18.9 million."""
BATCH_TOKENS = 4096


class Contender:
    """A running process."""

    def __init__(self, who: str, setting: Setting) -> None:
        self.who, self.setting = who, setting
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            command(who, setting), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.first_s = self._answer()["seconds"]
        self.seconds: list[float] = []
        self.own: list[float] = []
        self.peak_mb = 0.0

    def turn(self) -> None:
        """Let it run its steps."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        found = self._answer()
        self.seconds.append(found["seconds"])
        if found["learning_s"]:
            self.own.append(1 - found["learning_s"] / found["seconds"])
        self.peak_mb = found["peak_mb"]

    def end(self) -> dict[str, Any]:
        """Stop it and return its row."""
        self.process.kill()
        self.process.wait()
        tokens = self.setting.steps * self.setting.blocks * self.setting.context
        rate = tokens / statistics.median(self.seconds)
        return {
            "who": self.who,
            "tokens_per_s": rate,
            "first_s": self.first_s,
            "peak_mb": self.peak_mb,
            "own_share": statistics.median(self.own) if self.own else None,
            "all_seconds": self.seconds,
        }

    def _answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith('{"seconds"'):  # Trainer prints dictionaries, too
                found: dict[str, float] = json.loads(line)
                return found
        self.log.seek(0)
        raise SystemExit(f"{self.who} ended:\n{self.log.read()[-3000:]}")


def measure(who: list[str], setting: Setting, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each contender of one case."""
    contenders = [Contender(name, setting) for name in who]
    for _, contender in itertools.product(range(rounds), contenders):
        contender.turn()
    return [contender.end() for contender in contenders]


def show(case: str, rows: list[dict[str, Any]]) -> list[str]:
    """Return a case's lines of the table."""
    rates = {row["who"]: row["tokens_per_s"] for row in rows}
    reference = rates.get("Trainer")
    lines = []
    for row in rows:
        ratio = f"{row['tokens_per_s'] / reference:6.2f}" if reference else "      "
        peak, first = f"{row['peak_mb']:8.0f}", f"{row['first_s']:8.1f}"
        own = "" if row["own_share"] is None else f"{row['own_share']:8.1%}"
        lines.append(f"{case:22} {row['who']:18} {row['tokens_per_s']:9.0f} {ratio} {peak} {first} {own}")
    return lines


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="7m,30m")
    parser.add_argument("--contexts", default="512,2048")
    parser.add_argument("--vocabs", default="16384,50304")
    parser.add_argument("--who", default=",".join(WHO))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps per turn")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found: dict[str, Any] = {}
    print(f"{'case':22} {'who':18} {'tokens/s':>9} {'ratio':>6} {'peak MB':>8} {'first s':>8} {'own':>8}")
    for model, context, vocab in itertools.product(
        args.models.split(","), args.contexts.split(","), args.vocabs.split(",")
    ):
        hidden, layers = MODELS[model]
        tokens = int(context)
        setting = Setting(hidden, layers, int(vocab), tokens, max(1, BATCH_TOKENS // tokens), args.steps)
        case = f"{model} {context} {vocab}"
        found[case] = measure(args.who.split(","), setting, args.rounds)
        print("\n".join(show(case, found[case])), flush=True)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(PACKAGES), "cases": found}, indent=2))
    print(machine(PACKAGES), file=sys.stderr)


if __name__ == "__main__":
    main()
