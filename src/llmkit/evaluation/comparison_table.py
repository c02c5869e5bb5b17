"""A comparison as a table for the terminal: a row per score and run, the reference's first."""

from __future__ import annotations

from llmkit.evaluation.comparing import ALPHA, Difference
from llmkit.evaluation.comparison import Comparison, TaskCompared
from llmkit.evaluation.estimates import shown, shown_difference, shown_interval, shown_p

HEADERS = ("score", "run", "value", "n", "difference", "p", "", "samples")


def rows(found: Comparison) -> list[tuple[str, ...]]:
    """Return the rows; a score's name stands in the first of its rows alone."""
    lines: list[tuple[str, ...]] = []
    for task in found.tasks:
        first, *others = task.runs
        for score in dict.fromkeys(score for one in task.runs.values() for score in one.result["scores"]):
            label = f"{task.name} {score}"
            for run in (first, *others):
                if score in task.runs[run].result["scores"]:
                    lines.append((label, run, *_value(task, run, score), *_difference(task, run, score)))
                    label = ""
    return lines


def _value(task: TaskCompared, run: str, score: str) -> tuple[str, str]:
    result = task.runs[run].result
    estimate = result["estimates"].get(score, {})
    interval = shown_interval(estimate.get("low"), estimate.get("high"))
    return f"{shown(result['scores'][score])} {interval}".rstrip(), f"{estimate.get('n', result['num_samples']):,}"


def _difference(task: TaskCompared, run: str, score: str) -> tuple[str, ...]:
    one: Difference | None = task.compared[run].differences.get(score) if run in task.compared else None
    if one is None:
        return ("", "", "", "")
    text = f"{shown_difference(one.difference)} {shown_interval(one.low, one.high, sign='+')}".rstrip()
    moved = "" if one.num_won is None else f"{one.num_won:,} better, {one.num_lost:,} worse"
    return text, "" if one.p_corrected is None else shown_p(one.p_corrected), one.mark, moved


def foot(found: Comparison) -> list[str]:
    """Say what the tests were, and what the marks mean."""
    tested = [one for _, _, one in found.differences() if one.p is not None]
    if not tested:
        return ["no difference has a test"]
    names = ", ".join(dict.fromkeys(one.test for one in tested))
    return [
        f"reference {found.columns[0].name}; intervals of 95%; p by {names}, corrected by Holm for {len(tested):,}"
        f" tests; better and worse: p < {ALPHA:g}"
    ]
