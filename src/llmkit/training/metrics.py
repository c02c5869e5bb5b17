"""What is measured while training: metrics.jsonl, one object per logged step, cut back when a run resumes."""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmkit.core.json import dumps, not_finite
from llmkit.data.artifacts import Model

PEAK_REST_S = 10
"""Between two measurements of the peak, each well under a second."""
TIMINGS = ("tokens_per_second", "utilization", "memory_gb", "elapsed_s")
"""Columns that differ from run to run; all others repeat to the bit."""


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


class Utilization:
    """Share of the speed of the model's own matrix products that training reaches, never above 1.

    They are measured when training begins, perhaps beside other work: too slow. Whoever passes them has them measured
    again, and what training itself reached counts as measured.

    Args:
        flops_per_token: Of training.
        measure: Returns FLOP/s of the matrix products; NaN of a model without any.
        processes: Processes that train. Several are not measured again: one alone would have the others' cores.
        say: Told when the peak has changed.
    """

    def __init__(
        self, flops_per_token: float, measure: Callable[[], float], processes: int, say: Callable[[str], None]
    ) -> None:
        self.flops_per_token, self.measure, self.processes, self.say = flops_per_token, measure, processes, say
        self.peak = measure() * processes
        self.measured = -math.inf

    def of(self, rate: float) -> dict[str, float]:
        """Return the column `utilization` at so many tokens per second; nothing for a model without a peak."""
        reached = rate * self.flops_per_token
        if reached > self.peak:
            self._raise_to(reached)
        return {"utilization": round(reached / self.peak, 4)} if self.peak > 0 else {}

    def _raise_to(self, reached: float) -> None:
        before, self.peak = self.peak, reached
        if self.processes == 1 and time.monotonic() - self.measured > PEAK_REST_S:
            self.peak = max(reached, self.measure())
            self.measured = time.monotonic()
            self.say(
                f"the matrix products were measured again, since training was faster: {self.peak:.3g} FLOP/s, where it"
                f" had been {before:.3g}"
            )


class RowsFile:
    """Append rows to a file of JSON lines, each flushed, so that a running training can be watched.

    Args:
        path: The file.
        keep: Says of each row that is there already whether it stays.
    """

    def __init__(self, path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
        self.path = path
        kept = [row for row in read_rows(path) if type(row.get("step")) is int and keep(row)]
        # Beside and renamed: a kill while the file is cut back must not lose the rows of the steps before.
        beside = path.with_suffix(".cut")
        beside.write_text("".join(dumps(row) + "\n" for row in kept), encoding="utf-8")
        beside.replace(path)

    def write(self, row: dict[str, Any]) -> None:
        """Append a row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(dumps(row) + "\n")


class MetricsFile(RowsFile):
    """metrics.jsonl.

    Args:
        directory: Where the file is.
        step: Rows of later steps are removed, and so are validations at this step: they are done again.
    """

    def __init__(self, directory: Path, step: int) -> None:
        super().__init__(
            directory / Model.METRICS,
            lambda row: row["step"] < step or (row["step"] == step and "validation_loss" not in row),
        )


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Return the rows; a last line that a kill cut short is left out."""
    return [row for row in read_rows(directory / Model.METRICS) if type(row.get("step")) is int]


def measures_of(validations: list[dict[str, Any]]) -> list[str]:
    """Return which columns of validations are the objective's own measures, such as accuracy."""
    ours = {"step", "tokens", "bits_per_byte"}
    names = validations[-1] if validations else ()
    return [name for name in names if name not in ours and not name.startswith("validation_loss")]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines, none where there is no file; torn lines are left out."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        # `{"step": 1` torn inside a number is no JSON, but `12` alone would be.
        if isinstance(row, dict) and next(not_finite(row), None) is None:
            rows.append(row)
    return rows


def memory_gb() -> tuple[float, float]:
    """Return memory in use and its peak, in GB (10^9 bytes): of the GPU where there is one, else of this process."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.memory_allocated() / 1e9, torch.cuda.max_memory_allocated() / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # not Linux
        return peak / 1e9, peak / 1e9
    used = pages * os.sysconf("SC_PAGE_SIZE")
    return used / 1e9, max(used, peak) / 1e9
