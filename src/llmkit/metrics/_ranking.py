"""Scores by the order of numbers, of samples that count any number of times: many resamples at once, sorted once.

Everything takes weights `[rounds, samples]`, how often each sample is there, and returns a value per round; NaN where a
round has none. Sources: area, average precision and ties as scikit-learn has them; Spearman's rho as SciPy has it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Weights = NDArray[np.float64]
Values = NDArray[np.float64]
SAME = 1e-14
"""Numbers that differ by less than this share of the largest are the same: a mean of equal numbers may differ by it."""


class Order:
    """Numbers in order, equal ones together.

    Args:
        numbers: `[samples]`.
    """

    def __init__(self, numbers: ArrayLike) -> None:
        self.numbers = np.asarray(numbers, np.float64)
        self.rising = np.argsort(self.numbers, kind="stable")

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each run of equal numbers begins."""
        ordered = self.numbers[self.rising]
        return np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))

    @cached_property
    def run(self) -> NDArray[np.int64]:
        """Which run each sample is in, `[samples]`."""
        sizes = np.diff(np.append(self.starts, len(self.numbers)))
        found = np.empty(len(self.numbers), np.int64)
        found[self.rising] = np.repeat(np.arange(len(sizes)), sizes)
        return found

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sums over the samples of each run, the lowest number first, `[rounds, runs]`."""
        return self._of_runs(np.take(values, self.rising, axis=1))  # an index in brackets takes three times as long

    def centred(self, weights: Weights) -> tuple[Weights, Values, Values]:
        """Return weights in order, and the ranks of runs, equal numbers sharing the mean of theirs, less their mean.

        Returns:
            Weights `[rounds, samples]`, ranks `[rounds, runs]`, and the roots of their sums of squares, `[rounds]`.
        """
        ordered = np.take(weights, self.rising, axis=1)
        sizes = self._of_runs(ordered)
        ranks: Values = np.cumsum(sizes, axis=1, dtype=np.float64)
        middle = (ranks[:, -1:] + 1) / 2
        ranks -= (sizes - 1) / 2
        ranks -= middle
        return ordered, ranks, np.sqrt(np.einsum("ij,ij,ij->i", sizes, ranks, ranks))

    def _of_runs(self, ordered: NDArray[Any]) -> NDArray[Any]:
        if len(self.starts) == len(self.rising):
            return ordered
        found: NDArray[Any] = np.add.reduceat(ordered, self.starts, axis=1)
        return found


def area(order: Order, positive: NDArray[np.bool_], weights: Weights) -> Values:
    """Return the area under the ROC curve: how often a positive sample is above a negative one, ties half."""
    above = order.sums(weights * positive)
    below = order.sums(weights * ~positive)
    before = np.cumsum(below, axis=1) - below
    pairs = above.sum(1) * below.sum(1)
    return _quotients((above * (before + below / 2)).sum(1), pairs)


def average_precision(falling: Order, positive: NDArray[np.bool_], weights: Weights) -> Values:
    """Return the mean over positive samples of the precision at each.

    Args:
        falling: Of minus the scores.
        positive: `[samples]`.
        weights: `[rounds, samples]`.
    """
    right, every = falling.sums(weights * positive), falling.sums(weights)
    seen = np.cumsum(every, axis=1)
    shares = np.divide(np.cumsum(right, axis=1), seen, out=np.zeros(seen.shape), where=seen > 0)
    return _quotients((right * shares).sum(1), right.sum(1))


def best_cut(order: Order, base: Values, gains: Values, weights: Weights) -> Values:
    """Return the mean worth of samples where those up to a number are taken, with the number that is best here.

    Accuracy is that with a threshold, and so is the F1 of questions of which some have no answer.

    Args:
        order: Of the numbers.
        base: What a sample is worth that is not taken, `[samples]`.
        gains: What it is worth more when it is.
        weights: `[rounds, samples]`.
    """
    found = np.cumsum(order.sums(weights * gains), axis=1).max(axis=1)
    return _quotients((weights * base).sum(1) + np.maximum(found, 0), weights.sum(1))


def place_of_cut(order: Order, gains: Values) -> float:
    """Return the number up to which `best_cut` takes samples: halfway to the next, 1 beyond the outermost."""
    found = np.append(0.0, np.cumsum(order.sums(gains[None]), axis=1)[0])
    levels = order.numbers[order.rising[order.starts]]
    ends = np.concatenate([[levels[0] - 1], (levels[:-1] + levels[1:]) / 2, [levels[-1] + 1]])
    return float(ends[int(found.argmax())])


def rank_correlation(a: Order, b: Order, weights: Weights) -> Values:
    """Return Spearman's rho: the correlation of ranks, 0 where one side is always the same.

    Ranks of N samples have the mean (N + 1) / 2 whatever is tied, and halves are exact in floating point. Everything is
    done in the order of one side, since what it costs is memory: three passes over it that jump.
    """
    total = weights.sum(1)
    (ordered, mine, length), (_, others, other) = a.centred(weights), b.centred(weights)
    ranks = mine if len(a.starts) == len(a.rising) else np.take(mine, a.run[a.rising], axis=1)
    above = np.einsum("ij,ij,ij->i", ordered, ranks, np.take(others, b.run[a.rising], axis=1))
    found = np.divide(above, length * other, out=np.zeros(len(above)), where=length * other > 0)
    return np.where(total > 0, np.clip(found, -1, 1), np.nan)


def correlation(a: Values, b: Values, weights: Weights) -> Values:
    """Return Pearson's correlation, 0 where one side is always the same.

    Args:
        a: `[samples]` or `[rounds, samples]`.
        b: Likewise.
        weights: `[rounds, samples]`.
    """
    total = weights.sum(1)
    sides = []
    for side in (a, b):
        middle = _quotients((weights * side).sum(1), total)
        apart = side - middle[:, None]
        length = np.sqrt((weights * apart**2).sum(1))
        largest = np.abs(np.where(weights > 0, side, 0)).max(axis=1)
        is_same = length <= SAME * largest * np.sqrt(total)
        # Divided one by one: the product of two small lengths may be 0.
        sides.append(np.divide(apart, length[:, None], out=np.zeros(apart.shape), where=~is_same[:, None]))
    found: Values = np.clip((weights * sides[0] * sides[1]).sum(1), -1, 1)
    return np.where(total > 0, found, np.nan)


def _quotients(above: ArrayLike, below: ArrayLike) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.divide(above, below), np.float64)
