"""What is measured while training: metrics.jsonl, one object per logged step, cut back when a run resumes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

FILE = "metrics.jsonl"


class Meter:
    """Loss and speed since the last line of metrics.jsonl.

    Args:
        tokens: Tokens trained on so far.
    """

    def __init__(self, tokens: int) -> None:
        self.first = self.tokens = tokens
        self.losses: list[float] = []
        self.start = time.monotonic()

    def count(self, loss: float, tokens: int) -> None:
        """Count a step; `tokens` is the total after it."""
        self.losses.append(loss)
        self.tokens = tokens

    def mean_loss(self) -> float:
        """Return the mean over the steps counted."""
        return sum(self.losses) / len(self.losses)

    def rate(self) -> float:
        """Return tokens per second."""
        return (self.tokens - self.first) / max(time.monotonic() - self.start, 1e-9)


class MetricsFile:
    """Append rows to metrics.jsonl, each flushed, so that a running training can be watched.

    Args:
        directory: Where the file is.
        step: Rows of later steps are removed, and so are validations at this step: they are done again.
    """

    def __init__(self, directory: Path, step: int) -> None:
        self.path = directory / FILE
        kept = [row for row in read_metrics(directory) if row["step"] < step or (row["step"] == step and "loss" in row)]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")

    def write(self, row: dict[str, Any]) -> None:
        """Append a row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Return the rows; a last line that a kill cut short is left out."""
    path = directory / FILE
    rows = []
    for line in path.read_text(encoding="utf-8").split("\n") if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows
