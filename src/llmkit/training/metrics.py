"""What is measured while training: metrics.jsonl, one object per logged step, cut back when a run resumes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

FILE = "metrics.jsonl"


class Meter:
    """Speed since the last line of metrics.jsonl.

    Args:
        tokens: Tokens trained on so far.
    """

    def __init__(self, tokens: int) -> None:
        self.first = tokens
        self.start = time.monotonic()

    def rate(self, tokens: int) -> float:
        """Return tokens per second; `tokens` is the total by now."""
        return (tokens - self.first) / max(time.monotonic() - self.start, 1e-9)


class MetricsFile:
    """Append rows to metrics.jsonl, each flushed, so that a running training can be watched.

    Args:
        directory: Where the file is.
        step: Rows of later steps are removed, and so are validations at this step: they are done again.
    """

    def __init__(self, directory: Path, step: int) -> None:
        self.path = directory / FILE
        kept = [row for row in read_metrics(directory) if row["step"] < step or (row["step"] == step and "loss" in row)]
        # Beside and renamed: a kill while the file is cut back must not lose the rows of the steps before.
        beside = self.path.with_suffix(".cut")
        beside.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        beside.replace(self.path)

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
