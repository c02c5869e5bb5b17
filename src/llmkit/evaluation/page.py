"""The pages of `eval` and `compare`: main scores, all of them with their intervals, figures, and samples to look at.

A page is made of what `results.json` and `samples-TASK.jsonl` say, and of the figures of the tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llmkit.core.page import Card, Difference, Interval, Page, Stat, percent, score
from llmkit.evaluation.comparing import is_secondary
from llmkit.evaluation.drawing import draw
from llmkit.evaluation.figures import Figure
from llmkit.evaluation.page_examples import Sample, asked, can_be_shown, judge, shortened, show_examples

Found = Mapping[str, Any]
_APART = ("scores", "estimates", "num_samples", "notes", "overlap")
"""What a task found that has a place of its own on the page; the rest is folded facts."""
EXTREMES = 5
MANY = 8
"""Rows of a plot above which it takes the whole width."""
UP, DOWN = "\u2191", "\u2193"
"""Higher is better, and lower is."""
FOOT = (
    "Intervals hold the true value in 95 of 100 such samples. A difference is coloured where its test finds it beyond "
    "noise, p below 0.05 after correction for all tests of the page; \u2191 higher is better, \u2193 lower."
)


@dataclass(frozen=True)
class TaskShown:
    """One task of a page.

    Attributes:
        name: Its name.
        settings: Its fields.
        results: Model or run to what `results.json` has of it; the first one is what the page is about.
        samples: Model or run to its samples.
        figures: Model or run to what is drawn of it.
        differences: Model or run to score to what `results.json` says of its difference from `reference`.
        reference: The model or run that the others are compared with; "" for none.
        values: Model or run to each sample's own value of the main score; None of a sample that has none.
    """

    name: str
    settings: Found
    results: Mapping[str, Found]
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    figures: Mapping[str, Sequence[Figure]] = field(default_factory=dict)
    differences: Mapping[str, Mapping[str, Found]] = field(default_factory=dict)
    reference: str = ""
    values: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    @property
    def scores(self) -> list[str]:
        """The scores that any model has; the first one is the main one."""
        return list(dict.fromkeys(name for found in self.results.values() for name in found["scores"]))

    def is_better_higher(self, name: str) -> bool | None:
        """Return which of two values of a score is the better one; None where that is not known."""
        for found in self.results.values():
            if name in found.get("estimates", {}):
                known: bool | None = found["estimates"][name].get("higher_is_better", True)
                return known
        return None

    def interval(self, model: str, name: str, colour: int = 0) -> Interval | None:
        """Return a score with its interval; None where the model has not got it."""
        found = self.results[model]
        if name not in found["scores"]:
            return None
        sure = found.get("estimates", {}).get(name, {})
        return Interval(model, found["scores"][name], sure.get("low"), sure.get("high"), colour)

    def count(self, model: str, name: str) -> int:
        """Return of how many samples a score is."""
        found = self.results[model]
        return int(found.get("estimates", {}).get(name, {}).get("n", found["num_samples"]))


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
        _scores_table(page, task, [name for name in task.scores if name not in parts])
        with page.figures():
            _intervals(page, task)
            draw(page, task.figures)
        if parts:
            with page.folded("Scores of parts", f"{len(parts):,}"):
                _scores_table(page, task, parts)
        _overlap(page, task)
        _examples(page, task)
        _settings(page, task)
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
    arrow = "" if up is None else f"\u00a0{UP if up else DOWN}"
    lines = [f"{name}{arrow} \u00b7 n\u00a0{task.count(model, name):,}", found.ends]
    lines += [f"best of {len(task.results)}: {model}"] if len(task.results) > 2 else []
    change = task.differences.get(model, {}).get(name, {})
    difference = change.get("difference")
    said = "" if difference is None else score(difference, sign=True)
    return [Card(task.name, score(found.value), "\n".join(filter(None, lines)), said, _verdict(change), anchor)]


def _notes(task: TaskShown) -> list[str]:
    """Return the notes, one that all models have but once."""
    found = {model: result.get("notes", ()) for model, result in task.results.items()}
    every = [note for note in next(iter(found.values())) if all(note in notes for notes in found.values())]
    return [*every, *(f"{model}: {note}" for model, notes in found.items() for note in notes if note not in every)]


def _scores_table(page: Page, task: TaskShown, names: Sequence[str]) -> None:
    """Show scores: a column for each model, then its difference from the reference, p, and the samples."""
    others = [model for model in task.results if model != task.reference and task.differences.get(model)]
    is_pair = len(task.results) == 2
    headers = ["score", *task.results]
    for model in others:
        headers += ["difference", "p"] if is_pair else [f"{model} \u2212 {task.reference}", "p"]
    rows = []
    for name in names:
        up = task.is_better_higher(name)
        row: list[Any] = [name + ("" if up is None else f"\u00a0{UP if up else DOWN}")]
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
    verdict = _verdict(found)
    word = {"good": "better", "bad": "worse", "": ""}[verdict]
    p, corrected = found.get("p"), found.get("p_corrected")
    drawn = Difference(found["difference"], found.get("low"), found.get("high"), verdict, word)
    if p is None:
        return [drawn, Stat("-")]
    return [drawn, Stat(p_words(p), f"corrected {p_words(corrected)}" if corrected not in (None, p) else "")]


def p_words(p: float) -> str:
    """Return a p-value with as many digits as mean something."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _verdict(found: Found) -> Literal["", "good", "bad"]:
    corrected, difference, up = found.get("p_corrected"), found.get("difference"), found.get("higher_is_better", True)
    if corrected is None or not difference or corrected >= 0.05 or up is None:
        return ""
    return "good" if (difference > 0) == up else "bad"


def _intervals(page: Page, task: TaskShown) -> None:
    """Draw the scores with their intervals: shares on one axis, of the others each on its own."""
    shares: list[tuple[str, list[Interval]]] = []
    alone: list[tuple[str, list[Interval]]] = []
    for name in (name for name in task.scores if not is_secondary(name)):
        found = [task.interval(model, name, place % 4) for place, model in enumerate(task.results)]
        rows = [row for row in found if row is not None]
        if all(row.low is None for row in rows):
            continue
        ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None]
        up = task.is_better_higher(name)
        label = name if up is None else f"{name}\u00a0{UP if up else DOWN}"
        (shares if min(ends) >= 0 and max(ends) <= 1 else alone).append((label, rows))
    if len(task.results) == 1:  # names of scores say more than the one model's
        model = next(iter(task.results))
        merged = [_renamed(row, name) for name, rows in shares for row in rows]
        drawn = [("Scores from 0 to 1", [("", merged)])] * bool(merged)
        drawn += [(name, [("", [_renamed(row, model) for row in rows])]) for name, rows in alone]
    else:
        drawn = [("Scores from 0 to 1" if len(shares) > 1 else shares[0][0], shares)] if shares else []
        drawn += [(name, [(name, rows)]) for name, rows in alone]
    for title, groups in drawn:
        with page.figure(title, is_wide=sum(len(rows) for _, rows in groups) > MANY):
            page.intervals(groups)


def _renamed(row: Interval, label: str) -> Interval:
    return Interval(label, row.value, row.low, row.high, row.colour, row.note)


def _overlap(page: Page, task: TaskShown) -> None:
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


def _settings(page: Page, task: TaskShown) -> None:
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
            [
                name,
                model,
                found.get("test", ""),
                found.get("n", ""),
                found.get("num_won", ""),
                found.get("num_lost", ""),
            ]
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
