"""What a report draws of labels: F1 by class, what is taken for what, whether confidence is deserved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.evaluation.calibration import reliability
from llmkit.evaluation.estimates import estimates
from llmkit.evaluation.figures import Bars, Figure, Lines, Matrix, Points
from llmkit.evaluation.measures import Measure, Sums
from llmkit.tasks._class_scores import Samples, decisions, most_frequent, several_table
from llmkit.tasks._headed import TOP_CLASSES

if TYPE_CHECKING:
    from llmkit.metrics._weighted import Decisions

GROUPS = 10
"""Of numbers, by what is true, as many rows in each."""


def label_figures(samples: Samples) -> list[Figure]:
    """Return F1 by class, the confusion matrix of one label a text, and the reliability plot."""
    names, decided = decisions(samples)
    chosen = most_frequent(decided, TOP_CLASSES)
    found: list[Figure] = [class_bars("F1 by class", names, decided, chosen)]
    if not isinstance(samples[0]["reference"], list):
        pairs = Counter((sample["reference"], sample["prediction"]) for sample in samples)
        found.append(confusion_figure("Confusion matrix", pairs, [names[i] for i in chosen]))
        sure = [sample["confidence"] for sample in samples], [sample["accuracy"] for sample in samples]
        return [*found, reliability("Reliability", {"answers": sure})]
    table = several_table(samples)
    if table is not None:
        sure = (1 / (1 + np.exp(-table[0]))).ravel(), table[1].ravel().astype(float)  # type: ignore[assignment]
        found.append(reliability("Reliability", {"labels": sure}))
    return found


def class_bars(title: str, names: Sequence[str], decided: Decisions, chosen: Sequence[int]) -> Bars:
    """Return the F1 of some classes, with bootstrap intervals."""
    measures = {names[place]: class_f1(decided, place) for place in chosen}
    sure = estimates(measures)
    values = {name: (measure.value, sure[name].low, sure[name].high) for name, measure in measures.items()}
    left = f" {len(names) - len(chosen):,} more are rarer." if len(chosen) < len(names) else ""
    return Bars(title, f"The most frequent first; 0 for a class that is never found.{left}", values=values, axis="F1")


def class_f1(decided: Decisions, place: int) -> Measure:
    """Return the F1 of one class."""
    statistics = np.zeros((decided.num_samples, 2))
    for column, events in ((0, decided.hits), (1, decided.predicted), (1, decided.support)):
        samples, classes = events
        np.add.at(statistics[:, column], samples[classes == place], 1)

    def of(sums: Any) -> Any:
        return np.divide(2 * sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] > 0)

    return Sums(statistics, of)


def confusion_figure(title: str, pairs: Counter[tuple[str, str]], names: Sequence[str]) -> Matrix:
    """Return how often each class is taken for each.

    Args:
        title: Of the figure.
        pairs: What is true and what is said, with how often.
        names: Classes that are shown, in order.
    """
    values = [[float(pairs[true, said]) for said in names] for true in names]
    shown = sum(map(sum, values))
    left = pairs.total() - int(shown)
    note = f"{left:,} of {pairs.total():,} are of classes that are not shown." if left else ""
    return Matrix(title, note, names, names, values, row_axis="true", column_axis="predicted", by_row=True)


def number_figures(samples: Samples) -> list[Figure]:
    """Return the mean of what is predicted over what is true, of groups of as many rows each."""
    truth, said = (np.array([sample[side] for sample in samples], np.float64) for side in ("reference", "prediction"))
    parts = [part for part in np.array_split(np.argsort(truth, kind="stable"), GROUPS) if len(part)]
    means = [(truth[part].mean(), said[part].mean(), *np.quantile(said[part], [0.1, 0.9])) for part in parts]
    x, y, low, high = ([float(number) for number in column] for column in zip(*means, strict=True))
    note = "Rows by what is true, a tenth of them each: the mean prediction, and where 80% of them are."
    line = {"predictions": Points(x, y, low, high)}
    return [Lines("Predicted over true", note, lines=line, x="true", y="predicted", diagonal=True)]
