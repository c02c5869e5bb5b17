"""The pages of `eval` and `compare`: main scores, all of them with their intervals, figures, and samples to look at.

A page is made of what `results.json` and `samples-TASK.jsonl` say, and of the figures of the tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmkit.core.page import Card, Page, Stat, score
from llmkit.evaluation.comparing import is_secondary
from llmkit.evaluation.drawing import draw
from llmkit.evaluation.page_examples import Sample, can_be_shown, judge, show_examples
from llmkit.evaluation.page_tables import draw_intervals, show_overlap, show_scores, show_settings
from llmkit.evaluation.page_task import TaskShown, verdict

EXTREMES = 5
FOOT = (
    "Intervals hold the true value in 95 of 100 such samples. A difference is coloured where its test finds it beyond "
    "noise, p below 0.05 after correction for all tests of the page; \u2191 higher is better, \u2193 lower."
)


def report(title: str, models: Mapping[str, str], tasks: Sequence[TaskShown], notes: Sequence[str] = ()) -> Page:
    """Return the page.

    Args:
        title: Headline.
        models: Model or run to where it lies.
        tasks: In order.
        notes: Sentences about all of it.
    """
    page = Page(title, ", ".join(f"{name}: {where}" for name, where in models.items()))
    if cards := [card for place, task in enumerate(tasks) for card in _card(task, f"task-{place + 1}")]:
        page.cards(cards)
    page.notes(notes)
    for place, task in enumerate(tasks):
        page.heading(task.name, anchor=f"task-{place + 1}")
        page.notes(_notes(task))
        parts = [name for name in task.scores if is_secondary(name)]
        parts = parts if len(parts) < len(task.scores) else []  # of some tasks they are all there is
        show_scores(page, task, [name for name in task.scores if name not in parts])
        with page.figures():
            draw_intervals(page, task)
            draw(page, task.figures)
        if parts:
            with page.folded("Scores of parts", f"{len(parts):,}"):
                show_scores(page, task, parts)
        show_overlap(page, task)
        _examples(page, task)
        show_settings(page, task)
    page.text(FOOT, style="foot")
    return page


def _card(task: TaskShown, anchor: str) -> list[Card]:
    """Return the card of a task's main score: the first model's, or that of the best of many runs."""
    names = task.scores
    if not names:
        return []
    name, up = names[0], task.is_better_higher(names[0])
    able = [model for model in task.results if name in task.results[model]["scores"]]
    model = next(iter(task.results))
    if len(task.results) > 2 or model not in able:
        model = (min if up is False else max)(able, key=lambda one: task.results[one]["scores"][name])
    found = task.interval(model, name)
    assert found is not None
    lines = [f"{task.label(name)} \u00b7 n\u00a0{task.count(model, name):,}", found.ends]
    lines += [f"best of {len(task.results)}: {model}"] if len(task.results) > 2 else []
    change = task.differences.get(model, {}).get(name, {})
    difference = change.get("difference")
    said = "" if difference is None else score(difference, sign=True)
    return [Card(task.name, score(found.value), "\n".join(filter(None, lines)), said, verdict(change), anchor)]


def _notes(task: TaskShown) -> list[str]:
    """Return the notes, one that all models have but once."""
    found = {model: result.get("notes", ()) for model, result in task.results.items()}
    every = [note for note in next(iter(found.values())) if all(note in notes for notes in found.values())]
    return [*every, *(f"{model}: {note}" for model, notes in found.items() for note in notes if note not in every)]


def _examples(page: Page, task: TaskShown) -> None:
    """Show samples, those that a model has lost or won first; of samples without texts, the least and the most."""
    if not task.samples or not next(iter(task.samples.values())):
        return
    main = task.scores[0] if task.scores else ""
    up = not main or task.is_better_higher(main) is not False
    first = next(iter(task.samples))
    reference = task.reference if task.reference != first and task.reference in task.samples else ""
    judged = judge(task.samples, {model: _values(task, model, main) for model in task.samples})
    if any(can_be_shown(next(iter(one.samples.values()))) for one in judged):
        show_examples(page, judged, reference=reference, sign=1 if up else -1)
        return
    known = sorted((one for one in judged if one.first is not None), key=lambda one: one.first or 0.0)
    if len(known) < 2:
        return
    half = min(EXTREMES, len(known) // 2)
    rows = [
        [next(iter(one.samples.values())).get("id", ""), *(Stat(score(value)) for value in one.scores.values())]
        for one in [*known[-half:][::-1], *known[:half][::-1]]
        if len(one.scores) == len(task.samples)
    ]
    with page.folded(f"Samples with the highest and the lowest {main}"):
        page.table(("sample", *task.samples), rows)


def _values(task: TaskShown, model: str, main: str) -> list[float | None]:
    """Return each sample's own main score, of those from 0 to 100 that are only right or wrong 0 or 1."""
    samples = task.samples[model]
    found = [own_value(sample, main) for sample in samples]
    if all(value is None for value in found):
        found = list(task.values.get(model) or found)
    whole = {value for value in found if value is not None} <= {0.0, 100.0} and 100.0 in found
    return [None if value is None else value / 100 for value in found] if whole else found


def own_value(sample: Sample, name: str) -> float | None:
    """Return what a sample itself says of a score."""
    value = sample.get(name)
    return float(value) if isinstance(value, bool | int | float) else None
