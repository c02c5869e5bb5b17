"""report.html of a training: curves, generated samples, interruptions; while it runs and when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmkit.core.page import Page
from llmkit.core.page_charts import COLOURS
from llmkit.data.artifacts import Model
from llmkit.training.metrics import RowsFile, measures_of, read_metrics, read_rows

INTERVAL_S = 30
"""Between two versions of the report while training."""
MAX_POINTS = 1000
"""Of a curve: more than a page has pixels; the file stays small in runs of a million steps."""
NO_TEXT = "(no text, only special tokens)"
SHOWN_SAMPLES = 5
"""Validations whose samples are shown, the newest first, and the first one for comparison."""


class LiveReport:
    """Rewrite report.html now and then while training; a browser that shows it reloads by itself.

    Args:
        directory: Where metrics.jsonl is and the report goes.
        title: Headline.
        facts: What is known from the beginning, such as the number of parameters.
        step: Where training begins or resumes; noted in starts.jsonl.
        total_steps: Where it ends, if that is known.
    """

    def __init__(
        self, directory: Path, *, title: str, facts: Mapping[str, str], step: int, total_steps: int | None
    ) -> None:
        self.directory, self.title, self.facts, self.total_steps = directory, title, dict(facts), total_steps
        note_start(directory, step)
        self.due = time.monotonic()

    def update(self, *, force: bool = False, running: bool = True) -> None:
        """Write the report if the last one is old enough; `force` at a validation; not `running`: no reloads."""
        begin = time.monotonic()
        if begin < self.due and not force:
            return
        rows = [row for row in read_metrics(self.directory) if "loss" in row]
        facts = dict(self.facts)
        if rows:
            of = "" if self.total_steps is None else f" of {self.total_steps:,}"
            facts["step"] = f"{rows[-1]['step']:,}{of}"
            facts["loss"] = f"{rows[-1]['loss']:.4f}"
        write_report(self.directory, title=self.title, facts=facts, refresh_s=INTERVAL_S if running else None)
        end = time.monotonic()
        self.due = end + max(INTERVAL_S, 200 * (end - begin))  # never more than half a percent of the run


def note_start(directory: Path, step: int) -> None:
    """Note in starts.jsonl when training began or resumed, and when the run before was last seen at work."""
    path, measured = directory / Model.STARTS, directory / Model.METRICS
    row: dict[str, Any] = {"step": step, "started": _now()}
    if path.exists() and measured.exists():
        row["stopped"] = _now(measured.stat().st_mtime)
    RowsFile(path, lambda _: True).write(row)


def write_report(
    directory: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    refresh_s: int | None = None,
    more: Callable[[Page], None] | None = None,
) -> None:
    """Write report.html from metrics.jsonl, samples.jsonl and starts.jsonl.

    Args:
        directory: Where they are and the report goes.
        title: Headline.
        facts: Figures at the top.
        refresh_s: The training is still running: browsers reload the page after so many seconds.
        more: Writes on, below the measures.
    """
    rows = read_metrics(directory)
    steps = [row for row in rows if "validation_loss" not in row]
    validations = [row for row in rows if "validation_loss" in row]
    page = Page(title, _headline(facts, validations) + (" - still running" if refresh_s else ""))
    page.facts(facts)
    page.notes(_interruptions(directory))
    loss = {"training": _points(steps, "loss"), "validation": _points(validations, "validation_loss")}
    page.heading("Loss")
    page.lines(loss, x="step", y="nats per target")
    parts = sorted({name for row in rows for name in row if name.startswith("loss_")})
    _curve(
        page, "Loss by part", {name.removeprefix("loss_"): _points(steps, name) for name in parts}, "nats per target"
    )
    _measures(page, validations)
    if more is not None:
        more(page)
    for heading, found, name, unit in (
        ("Validation bits per byte", validations, "bits_per_byte", "bits per byte"),
        ("Learning rate", steps, "lr", "learning rate"),
        ("Gradient norm", steps, "grad_norm", "norm before clipping"),
        ("Speed", steps, "tokens_per_second", "tokens/s"),
        ("Utilization", steps, "utilization", "share of the measured peak"),
        ("Memory", steps, "memory_gb", "GB"),
    ):
        _curve(page, heading, {unit: _points(found, name)}, unit)
    _samples(page, read_rows(directory / Model.SAMPLES))
    page.text(f"Written {_now()}.", style="foot")
    page.write(Model(directory).report, refresh_s=refresh_s)


def _headline(facts: Mapping[str, str], validations: list[dict[str, Any]]) -> str:
    if "bits per byte" in facts:
        return f"bits per byte {facts['bits per byte']}"
    if validations:
        return f"validation loss {validations[-1]['validation_loss']:.4f} at step {validations[-1]['step']:,}"
    return f"loss {facts['loss']}" if "loss" in facts else ""


def _interruptions(directory: Path) -> list[str]:
    notes = []
    for row in read_rows(directory / Model.STARTS)[1:]:
        seen = f" (last seen at work {row['stopped']})" if "stopped" in row else ""
        notes.append(f"Resumed at step {row['step']:,} on {row['started']}{seen}.")
    return notes


def _samples(page: Page, rows: list[dict[str, Any]]) -> None:
    steps = sorted({row["step"] for row in rows})
    shown = steps if len(steps) <= SHOWN_SAMPLES else [steps[0], *steps[1 - SHOWN_SAMPLES :]]
    if shown:
        page.heading("Generated text")
    for step in reversed(shown):
        with page.folded(f"step {step:,}", is_open=step == shown[-1]):
            for row in rows:
                if row["step"] == step:
                    before = f"after: {row['prompt']}" if row["prompt"] else "from nothing"
                    if "references" in row:
                        before = "\n".join([f"of: {row['prompt']}", *(f"right: {text}" for text in row["references"])])
                    page.quote(before, row["text"] if row["text"].strip() else NO_TEXT, prose=True)


def _measures(page: Page, validations: list[dict[str, Any]]) -> None:
    """Show the objective's own measures: shares together, which compare, and each of the others by itself."""
    series = {name.replace("_", " "): _points(validations, name) for name in measures_of(validations)}
    shares = {name: points for name, points in series.items() if all(0 <= value <= 1 for _, value in points)}
    together = dict(list(shares.items())[: len(COLOURS)])
    _curve(page, "Held-out rows", together, "share")
    for name, points in series.items():
        if name not in together:
            _curve(page, name.capitalize(), {name: points}, name)


def _curve(page: Page, heading: str, series: Mapping[str, list[tuple[float, float]]], unit: str) -> None:
    if any(series.values()):
        page.heading(heading)
        page.lines(series, x="step", y=unit)


def _points(rows: list[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    every = -(-len(points) // MAX_POINTS)
    return points[:: every or 1] + (points[-1:] if every > 1 and (len(points) - 1) % every else [])


def _now(timestamp: float | None = None) -> str:
    when = datetime.now(UTC) if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
