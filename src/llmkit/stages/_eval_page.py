"""report.html of `eval`: what the tasks have found, with the figures that they draw of their samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.evaluation.compared import own_values
from llmkit.evaluation.page import report
from llmkit.evaluation.page_task import TaskShown

if TYPE_CHECKING:
    from llmkit.tasks import Task, TaskResult


def write_page(
    path: Path,
    tasks: Sequence[Task],
    results: Mapping[str, Mapping[str, TaskResult]],
    written: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, str],
) -> None:
    """Write the page.

    Args:
        path: The file.
        tasks: In the order of their results.
        results: Task to role to what was found.
        written: Task to what `results.json` says of it.
        models: Role to where the model lies.
    """
    shown = []
    for task, (name, by_role) in zip(tasks, results.items(), strict=True):
        said = written[name]
        figures = {role: task.figures(result.samples) for role, result in by_role.items()}
        samples = {role: result.samples for role, result in by_role.items()}
        values = {role: own_values(result.measures) for role, result in by_role.items()}
        differences = {"model": said["differences"]} if said.get("differences") else {}
        reference = "baseline" if "baseline" in by_role else ""
        shown.append(TaskShown(name, said["task"], said["results"], samples, figures, differences, reference, values))
    report("Evaluation report", models, shown).write(path)
