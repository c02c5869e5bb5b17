"""Resample samples with replacement, the same ones for all scores: how sure is one, and are two different.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap, 1993; Hesterberg, What teachers should know about the
bootstrap, 2015 (percentiles that are not too narrow for few samples); Koehn, Statistical significance tests for machine
translation evaluation, EMNLP 2004 (the same resamples for two systems).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmkit.evaluation.distributions import normal_cdf, normal_quantile, student_cdf, student_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmkit.evaluation.measures import Measure

ROUNDS, SEED, LEVEL = 1000, 0, 0.95
"""Of a bootstrap, and the share of intervals that hold the true value."""
CELLS = 50_000
"""Rounds times samples whose weights are in memory at a time: 0.4 MB, which a core's own cache holds together with what
is made of them. Spearman of 10,000 samples takes 0.3 s; with 32 MB, 0.9 s."""


def bootstrap(measures: Sequence[Measure], groups: NDArray[np.int64], rounds: int | None = None) -> NDArray[np.float64]:
    """Draw clusters with replacement and return what the scores are then, `[measures, rounds]`.

    Draws depend on the number of clusters alone, never on the measures, and the first rounds of many are those of few.

    Args:
        measures: Scores of the same samples.
        groups: `[samples]`, the cluster of each, from 0; a sample of none (-1) is never drawn.
        rounds: How many; by default as many as all of the measures take.
    """
    import numpy as np

    rng = np.random.default_rng(SEED)
    count, chosen = int(groups.max()) + 1, groups >= 0
    alone = np.array_equal(groups[chosen], np.arange(count))
    rounds = min(measure.rounds for measure in measures) if rounds is None else rounds
    size = max(1, CELLS // max(len(groups), count))
    found: list[NDArray[np.float64]] = []
    for start in range(0, rounds, size):
        many = min(size, rounds - start)
        weights = np.zeros((many, len(groups)))
        for row, drawn in zip(weights, rng.integers(count, size=(many, count)), strict=True):
            times = np.bincount(drawn, minlength=count)
            row[chosen] = times if alone else times[groups[chosen]]
        found.append(np.stack([measure.at(weights) for measure in measures]))
    return np.concatenate(found, axis=1)


def tail(count: int, level: float = LEVEL) -> float:
    """Return which share of resamples to leave out at each side for an interval.

    The plain percentiles are too narrow by sqrt((n - 1) / n), and know the normal distribution where Student's belongs;
    both are made good by taking percentiles further out (Hesterberg 2015, section 5.3).

    Args:
        count: Clusters that were drawn.
        level: Share of intervals that shall hold the true value.
    """
    wide = student_quantile((1 + level) / 2, count - 1) * math.sqrt(count / (count - 1))
    return normal_cdf(-wide)


def p_of(share: float, count: int) -> float:
    """Return the p-value, to one side, where so large a share of resamples is on the other: `tail` the other way.

    With it a 95% interval leaves out zero where the p-value to both sides is below 0.05, and only there.
    """
    return student_cdf(normal_quantile(share) * math.sqrt((count - 1) / count), count - 1)


def percentiles(values: NDArray[np.float64], count: int) -> tuple[float, float]:
    """Return the ends of the 95% interval of resampled values, `[rounds]`, of so many clusters."""
    import numpy as np

    out = tail(count)
    low, high = np.quantile(values, [out, 1 - out])
    return float(low), float(high)
