"""report.html of `llmkit compare`: the page of an evaluation, with a run in each column."""

from __future__ import annotations

from pathlib import Path

from llmkit.evaluation.compared import own_values
from llmkit.evaluation.comparison import Comparison, TaskCompared
from llmkit.evaluation.page import report
from llmkit.evaluation.page_task import TaskShown


def write_page(found: Comparison, path: Path) -> None:
    """Write the page."""
    runs = {column.name: f"{column.run.path} ({column.run.model})" for column in found.columns}
    reference = found.columns[0].name
    report("Comparison", runs, [_shown(task, reference) for task in found.tasks], found.notes).write(path)


def _shown(task: TaskCompared, reference: str) -> TaskShown:
    # The page is about its first column; of two runs that is the one that is held to the other.
    names = [run for run in task.runs if run != reference] + [reference]
    results = {run: dict(task.runs[run].result) for run in names}
    for run, compared in task.compared.items():
        results[run]["notes"] = [*results[run].get("notes", ()), *compared.notes]
    samples = {run: task.runs[run].samples for run in names}
    known = task.task is not None
    return TaskShown(
        name=task.name,
        settings=dict(task.runs[reference].spec),
        results=results,
        samples=samples,
        figures={run: task.task.figures(samples[run]) for run in names} if known else {},
        differences={
            run: {name: one.facts() for name, one in compared.differences.items()}
            for run, compared in task.compared.items()
        },
        reference=reference,
        values={run: own_values(task.task.measures(samples[run])) for run in names} if known else {},
    )
