"""The numbers of a task on a page: its scores with intervals and differences, the overlap, and what they rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmkit.core.page import Difference, Interval, Page, Stat, percent, score
from llmkit.evaluation.comparing import is_secondary
from llmkit.evaluation.estimates import shown_p
from llmkit.evaluation.page_examples import asked, shortened
from llmkit.evaluation.page_task import Found, TaskShown, verdict

_APART = ("scores", "estimates", "num_samples", "notes", "overlap")
"""What a task found that has a place of its own on the page; the rest is folded facts."""
MANY = 8
"""Rows of a plot above which it takes the whole width."""


def show_scores(page: Page, task: TaskShown, names: Sequence[str]) -> None:
    """Show scores: a column for each model, then its difference from the reference, p, and the samples."""
    others = [model for model in task.results if model != task.reference and task.differences.get(model)]
    is_pair = len(task.results) == 2
    headers = ["score", *task.results]
    for model in others:
        headers += ["difference", "p"] if is_pair else [f"{model} \u2212 {task.reference}", "p"]
    rows = []
    for name in names:
        row: list[Any] = [task.label(name)]
        for model in task.results:
            found = task.interval(model, name)
            row.append(Stat("-") if found is None else Stat(score(found.value), found.ends))
        for model in others:
            row += _difference_cells(task.differences[model].get(name, {}))
        counts = dict.fromkeys(task.count(model, name) for model in task.results if task.interval(model, name))
        rows.append([*row, Stat(" / ".join(f"{count:,}" for count in counts))])
    if rows:
        page.table((*headers, "n"), rows)


def _difference_cells(found: Found) -> list[Difference | Stat]:
    """Return the difference and p of one score."""
    if found.get("difference") is None:
        return [Stat("", found.get("why", "")), Stat("")]
    way = verdict(found)
    word = {"good": "better", "bad": "worse", "": ""}[way]
    p, corrected = found.get("p"), found.get("p_corrected")
    drawn = Difference(found["difference"], found.get("low"), found.get("high"), way, word)
    if p is None:
        return [drawn, Stat("-")]
    return [drawn, Stat(shown_p(p), f"corrected {shown_p(corrected)}" if corrected not in (None, p) else "")]


def draw_intervals(page: Page, task: TaskShown) -> None:
    """Draw the scores with their intervals: shares on one axis, of several models the others each on its own."""
    shares: list[tuple[str, list[Interval]]] = []
    alone: list[tuple[str, list[Interval]]] = []
    for name in (name for name in task.scores if not is_secondary(name)):
        found = [task.interval(model, name, place % 4) for place, model in enumerate(task.results)]
        rows = [row for row in found if row is not None]
        if all(row.low is None for row in rows):
            continue
        ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None]
        (shares if min(ends) >= 0 and max(ends) <= 1 else alone).append((task.label(name), rows))
    if len(task.results) == 1:  # names of scores say more than the one model's
        merged = [_renamed(row, name) for name, rows in shares for row in rows]
        drawn = [("Scores from 0 to 1", [("", merged)])] * bool(merged)  # the others would be a dot each
    else:
        drawn = [("Scores from 0 to 1" if len(shares) > 1 else shares[0][0], shares)] if shares else []
        drawn += [(name, [(name, rows)]) for name, rows in alone]
    for title, groups in drawn:
        with page.figure(title, is_wide=sum(len(rows) for _, rows in groups) > MANY):
            page.intervals(groups)


def _renamed(row: Interval, label: str) -> Interval:
    return Interval(label, row.value, row.low, row.high, row.colour, row.note)


def show_overlap(page: Page, task: TaskShown) -> None:
    """Show how many of the task's items the training data of each model hold, and the score on the others."""
    known = {model: found["overlap"] for model, found in task.results.items() if found.get("overlap")}
    if not known:
        return
    page.subheading("Overlap with training data")
    headers, rows = ["model", "items found", "of", "share"], []
    scores = [name for name in task.scores if any(name in found.get("clean", {}) for found in known.values())]
    for model, found in known.items():
        if "items" not in found:
            page.text(f"{model}: {found.get('why', 'unknown')}")
            continue
        clean = found.get("clean", {})
        count, items = found["overlapping"], found["items"]
        cells: list[Any] = [model, count, items, percent(count, items)]
        for name in scores:
            one = clean.get(name)
            ends = "" if not one or one.get("low") is None else f"{score(one['low'])} to {score(one['high'])}"
            cells.append(Stat(score(one["value"]) if one else "-", ends))
        rows.append(cells)
    if rows:
        page.table([*headers, *(f"{name} on the rest" for name in scores)], rows)


def show_settings(page: Page, task: TaskShown) -> None:
    """Show, folded, what the scores rest on: settings, facts of each model, how sure and by what, the first prompt."""
    with page.folded("Settings and facts"):
        page.table(("setting", "value"), [[name, _words(value)] for name, value in task.settings.items()])
        names = dict.fromkeys(name for found in task.results.values() for name in found if name not in _APART)
        rows = [[name, *(_words(found.get(name)) for found in task.results.values())] for name in names]
        page.table(("fact", *task.results), [["samples", *(f["num_samples"] for f in task.results.values())], *rows])
        methods = [
            [name, model, sure.get("method", ""), score(sure.get("stderr")), _resampled(sure)]
            for model, found in task.results.items()
            for name, sure in found.get("estimates", {}).items()
        ]
        if methods:
            page.table(("score", "model", "interval by", "standard error", "drawn"), methods)
        tests = [
            [name, model, *(found.get(column, "") for column in ("test", "n", "num_won", "num_lost"))]
            for model, by_score in task.differences.items()
            for name, found in by_score.items()
            if found.get("p") is not None
        ]
        if tests:
            page.table(("score", "model", "test", "pairs", "better", "worse"), tests)
    prompt = next((asked(sample) for found in task.samples.values() for sample in found[:1]), "")
    if prompt:
        with page.folded("First prompt as it was sent"):
            page.quote(f"{len(prompt):,} characters", shortened(prompt), prose=True)


def _resampled(sure: Found) -> str:
    if sure.get("rounds") is None:
        return ""
    of = f"{sure['clusters']:,} clusters, " if sure.get("clusters") is not None else ""
    return f"{of}{sure['rounds']:,} rounds"


def _words(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return score(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_words(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
