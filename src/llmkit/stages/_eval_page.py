"""What `report.html` of an evaluation shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmkit.core.page import Page
from llmkit.tasks import Task, TaskResult

SAMPLES_SHOWN = 5
Results = dict[str, dict[str, TaskResult]]


def write_page(
    path: Path, tasks: Sequence[Task], results: Results, written: Mapping[str, Any], models: Mapping[str, str]
) -> None:
    """Draw the page."""
    del tasks, written
    page = Page("Evaluation report", ", ".join(f"{role}: {where}" for role, where in models.items()))
    for name, by_role in results.items():
        page.heading(name)
        names = _score_names({role: result.scores for role, result in by_role.items()})
        rows = [[score, *(result.scores.get(score, "") for result in by_role.values())] for score in names]
        page.table(("score", *by_role), rows)
        page.notes([f"{role}: {note}" for role, result in by_role.items() for note in result.notes])
        facts = dict.fromkeys(fact for result in by_role.values() for fact in result.facts)  # one may have more
        page.table(
            ("", *by_role),
            [
                ["samples", *(result.num_samples for result in by_role.values())],
                *([fact, *(str(r.facts.get(fact, "")) for r in by_role.values())] for fact in facts),
            ],
        )
        answers = {role: {sample.get("id"): sample for sample in result.samples} for role, result in by_role.items()}
        for sample in by_role["model"].samples[:SAMPLES_SHOWN]:
            if (shown := exchange(sample)) is None:
                continue
            question, reference, _ = shown
            said = {role: found[sample["id"]] for role, found in answers.items() if sample["id"] in found}
            lines = [f"reference: {reference}", *(f"{role}: {found['prediction']}" for role, found in said.items())]
            page.quote(question, "\n\n".join(lines))
    page.write(path)


def exchange(sample: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return question, reference and answer of a sample that has them, whatever its task."""
    if not {"turns", "reference", "prediction"} <= sample.keys():
        return None
    return sample["turns"][-1]["content"], sample["reference"], sample["prediction"]


def _score_names(by_role: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the scores that any of the models has."""
    return list(dict.fromkeys(score for scores in by_role.values() for score in scores))
