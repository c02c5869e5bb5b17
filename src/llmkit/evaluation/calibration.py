"""How well a model's certainty tells how often it is right.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (bins of equal width, weighted by their size).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from llmkit.evaluation.estimates import estimate
from llmkit.evaluation.figures import Lines, Points
from llmkit.evaluation.measures import Sums, mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

BINS = 15


def calibration_error(
    confidence: ArrayLike, right: ArrayLike, whose: ArrayLike | None = None, num_samples: int | None = None
) -> Sums:
    """Return the expected calibration error: mean distance of certainty and accuracy over the bins, from 0 to 1.

    Args:
        confidence: The probability that the model gives its answer, from 0 to 1.
        right: 1 where the answer is right, else 0.
        whose: Number of the sample that each answer is of, where samples have several.
        num_samples: How many samples there are then.
    """
    import numpy as np

    sure = np.asarray(confidence, np.float64)
    bins, owners = _bins(sure), np.arange(len(sure)) if whose is None else np.asarray(whose, np.int64)
    statistics = np.zeros((len(sure) if num_samples is None else num_samples, BINS + 1))
    np.add.at(statistics, (owners, bins), sure - np.asarray(right, np.float64))
    np.add.at(statistics[:, BINS], owners, 1)
    return Sums(statistics, _error, higher_is_better=False)


def reliability(title: str, models: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Lines:
    """Return the figure: accuracy over certainty, with a point for each bin that holds anything.

    Args:
        title: Of the figure.
        models: By the name of a line the confidence of each answer, and whether it is right.
    """
    note = "Below the diagonal it is surer than it is right. Intervals are of 95%."
    lines = {name: _points(*found) for name, found in models.items()}
    return Lines(title, note, lines, "certainty", "accuracy", diagonal=True)


def _points(confidence: ArrayLike, right: ArrayLike) -> Points:
    import numpy as np

    sure, hits = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    bins = _bins(sure)
    x, y, low, high = list[float](), list[float](), list[float](), list[float]()
    for number in np.unique(bins):
        chosen = bins == number
        found = estimate(mean(hits[chosen]))
        value = float(hits[chosen].mean())
        x.append(float(sure[chosen].mean()))
        y.append(value)
        low.append(value if found.low is None else found.low)
        high.append(value if found.high is None else found.high)
    return Points(x, y, low, high)


def _bins(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each: (0, 1/15], (1/15, 2/15] and so on."""
    import numpy as np

    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _error(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return np.asarray(np.abs(sums[..., :BINS]).sum(-1) / sums[..., BINS], np.float64)
