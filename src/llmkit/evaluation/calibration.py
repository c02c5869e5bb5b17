"""Whether a model that says 80% is right in 80 of 100 cases (Naeini et al. 2015, Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llmkit.evaluation.figures import Lines, Points
from llmkit.evaluation.measures import Sums, mean

BINS = 15
"""Of equal width, as in the papers."""


def calibration_error(
    confidence: ArrayLike, right: ArrayLike, whose: ArrayLike | None = None, num_samples: int | None = None
) -> Sums:
    """Return the expected calibration error: how far confidence and accuracy of a bin are apart, in the mean.

    Args:
        confidence: `[decisions]` from 0 to 1.
        right: `[decisions]` 0 or 1.
        whose: Which sample each decision is of; None where each is of its own.
        num_samples: How many samples there are; None likewise.
    """
    sure, true = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    samples = np.arange(len(sure)) if whose is None else np.asarray(whose, np.int64)
    statistics = np.zeros((len(sure) if num_samples is None else num_samples, 1 + BINS))
    np.add.at(statistics[:, 0], samples, 1)
    places = samples * (1 + BINS) + 1 + _bins(sure)  # in the table as one row
    np.add.at(statistics.reshape(-1), places, true - sure)

    def of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.abs(sums[..., 1:]).sum(-1) / sums[..., 0]
        return found

    return Sums(statistics, of, higher_is_better=False)


def reliability(title: str, lines: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Lines:
    """Return the figure: how often what is said with so much confidence is right, with Wilson's intervals.

    Args:
        title: Of the figure.
        lines: Name to confidence and right, as for `calibration_error`.
    """
    found = {
        name: _points(np.asarray(sure, np.float64), np.asarray(true, np.float64))
        for name, (sure, true) in lines.items()
    }
    note = "On the diagonal a model is as often right as it says; below it is too sure of itself."
    return Lines(title, note, lines=found, x="confidence", y="share that is right", diagonal=True)


def _points(sure: NDArray[np.float64], right: NDArray[np.float64]) -> Points:
    from llmkit.evaluation.estimates import estimate

    bins, rows = _bins(sure), []
    for place in np.unique(bins):
        own = bins == place
        share = float(right[own].mean())
        ends = estimate(mean(right[own]))
        low, high = (share if end is None else end for end in (ends.low, ends.high))
        rows.append((float(sure[own].mean()), share, low, high))
    x, y, low_ends, high_ends = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Points(x, y, low_ends, high_ends)


def _bins(sure: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((sure * BINS).astype(np.int64), BINS - 1)
