"""What reports of labelled rows share: a table of classes, and one of what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from llmkit.core.page import Page
    from llmkit.metrics._confusion import ClassCounts

WORST = 10
"""Rows that a report shows of those that the model gets most wrong."""
CLASSES_SHOWN = 50
MATRIX_SHOWN = 20
"""Classes of the table of confusions: more do not fit on a screen; the most frequent are shown."""


def show_classes(page: Page, heading: str, names: Sequence[str], counts: ClassCounts) -> None:
    """Write how well each class is found, the most frequent first."""
    page.heading(heading)
    chosen = _most_frequent(counts, CLASSES_SHOWN)
    columns = zip(
        counts.support[chosen].tolist(),
        counts.predicted[chosen].tolist(),
        *(np.round(score[chosen], 4).tolist() for score in (counts.precision, counts.recall, counts.f1)),
        strict=True,
    )
    rows = [(names[place], *cells) for place, cells in zip(chosen.tolist(), columns, strict=True)]
    page.table(["class", "true", "predicted", "precision", "recall", "F1"], rows)
    _say_left_out(page, len(names), len(chosen))


def show_confusion(page: Page, names: Sequence[str], counts: ClassCounts, matrix: NDArray[np.int64]) -> None:
    """Write how often each class is taken for each, `[true, predicted]`."""
    page.heading("Confusion matrix")
    chosen = _most_frequent(counts, MATRIX_SHOWN)
    part = matrix[np.ix_(chosen, chosen)].tolist()
    page.table(
        ["true", *(f"as {names[place]}" for place in chosen.tolist())],
        [(names[place], *cells) for place, cells in zip(chosen.tolist(), part, strict=True)],
    )
    _say_left_out(page, len(names), len(chosen))


def worst(losses: NDArray[np.float64], wrong: NDArray[np.bool_]) -> list[int]:
    """Return the places of the wrong answers with the greatest loss, the worst first."""
    order = np.argsort(-losses, kind="stable")
    return [int(place) for place in order[wrong[order]][:WORST]]


def _most_frequent(counts: ClassCounts, limit: int) -> NDArray[np.int64]:
    seen = counts.support + counts.predicted
    order = np.argsort(-counts.support, kind="stable")
    return order[seen[order] > 0][:limit]


def _say_left_out(page: Page, total: int, shown: int) -> None:
    if shown < total:
        page.text(f"{total - shown:,} more classes are rarer, or neither true nor predicted.")
