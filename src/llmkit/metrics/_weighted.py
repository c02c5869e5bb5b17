"""Scores that are no function of a few sums, for many resamples at once: correlations, areas, F1 of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llmkit.evaluation.measures import Measure, Sums
from llmkit.metrics import _ranking
from llmkit.metrics._ranking import Order, Values, Weights

if TYPE_CHECKING:
    from llmkit.metrics._confusion import Average

Events = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Samples and, of each, a class that something holds of: two arrays of one length."""


@dataclass(frozen=True, eq=False)
class Weighted(Measure):
    """A score that is computed of how often each sample counts.

    Args:
        num_samples: Samples.
        of: From weights `[rounds, samples]` to values `[rounds]`; NaN where there is none.
        higher_is_better: Which of two values is the better one.
        has: Which samples have a part in it; None for all.
    """

    num_samples: int
    of: Callable[[Weights], Values]
    higher_is_better: bool = True
    has: NDArray[np.bool_] | None = None

    def at(self, weights: Weights) -> Values:
        """Return the value where each sample counts so often."""
        return self.of(weights)

    def used(self) -> NDArray[np.bool_]:
        """Return which samples have a part in it."""
        return super().used() if self.has is None else self.has


def pearson(truth: ArrayLike, found: ArrayLike) -> Weighted:
    """Return Pearson's correlation; 0 where one side is always the same."""
    a, b = np.asarray(truth, np.float64), np.asarray(found, np.float64)
    return Weighted(len(a), partial(_ranking.correlation, a, b))


def spearman(truth: ArrayLike, found: ArrayLike) -> Weighted:
    """Return Spearman's rank correlation; 0 where one side is always the same."""
    a, b = Order(truth), Order(found)
    return Weighted(len(a.numbers), partial(_ranking.rank_correlation, a, b))


def explained(truth: ArrayLike, found: ArrayLike) -> Sums:
    """Return R2, the share of the variance that is explained; of true values all alike 1 if all is exact, else 0."""
    true = np.asarray(truth, np.float64)
    apart, errors = true - true.mean(), np.asarray(found, np.float64) - true
    statistics = np.stack([np.ones(len(true)), apart, apart**2, errors**2], axis=1)
    least = (_ranking.SAME * np.abs(true).max(initial=0.0)) ** 2

    def of(sums: Values) -> Values:
        count, total, squares, wrong = np.moveaxis(sums, -1, 0)
        variance = squares - total**2 / count
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(variance > least * count, 1 - wrong / variance, wrong == 0), np.float64)

    return Sums(statistics, of)


def average_precision(scores: ArrayLike, positive: ArrayLike) -> Weighted:
    """Return the mean precision over positive samples, by scores of which higher means positive."""
    falling, right = Order(-np.asarray(scores, np.float64)), np.asarray(positive, np.bool_)
    return Weighted(len(right), partial(_ranking.average_precision, falling, right))


def best_accuracy(scores: ArrayLike, positive: ArrayLike) -> Weighted:
    """Return the accuracy of "positive from this score on", with the score that is best on the samples themselves."""
    right = np.asarray(positive, np.bool_)
    return best_cut(-np.asarray(scores, np.float64), ~right, np.where(right, 1.0, -1.0))


def best_cut(numbers: ArrayLike, base: ArrayLike, gains: ArrayLike) -> Weighted:
    """Return the mean worth of samples with the threshold that is best on the samples themselves; see `_ranking.py`."""
    order = Order(numbers)
    worth, more = np.asarray(base, np.float64), np.asarray(gains, np.float64)
    return Weighted(len(worth), partial(_ranking.best_cut, order, worth, more))


def area(scores: ArrayLike, positive: ArrayLike, has: NDArray[np.bool_] | None = None) -> Weighted:
    """Return the area under the ROC curve, the mean over classes that some samples are of and others are not.

    Args:
        scores: `[samples, classes]`, higher means that the class is true.
        positive: `[samples, classes]` bool.
        has: Samples that count; None for all.
    """
    numbers, right = np.asarray(scores, np.float64), np.asarray(positive, np.bool_)
    chosen = np.ones(len(right), np.bool_) if has is None else has
    numbers, right = numbers[chosen], right[chosen]
    mixed = right.any(axis=0) & ~right.all(axis=0)
    parts = [(Order(numbers[:, k]), right[:, k]) for k in np.flatnonzero(mixed)]

    def of(weights: Weights) -> Values:
        inside = weights[:, chosen]
        found = np.stack([_ranking.area(order, own, inside) for order, own in parts])
        there = np.isfinite(found)
        total, count = np.where(there, found, 0).sum(axis=0), there.sum(axis=0)
        return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0), np.float64)

    return Weighted(len(chosen), of, has=chosen)


@dataclass(frozen=True, eq=False)
class Decisions:
    """Which classes are true of each sample, and which are predicted: one, none, or many.

    Attributes:
        num_samples: Samples.
        num_classes: Classes.
        hits: Both.
        predicted: Those that are predicted.
        support: Those that are true.
    """

    num_samples: int
    num_classes: int
    hits: Events
    predicted: Events
    support: Events

    @classmethod
    def of_lists(
        cls,
        num_classes: int,
        hits: Sequence[Sequence[int]],
        predicted: Sequence[Sequence[int]],
        support: Sequence[Sequence[int]],
    ) -> Decisions:
        """Return those of samples, each with a list of classes that may hold one several times."""
        return cls(len(support), num_classes, _events(hits), _events(predicted), _events(support))

    @classmethod
    def of_sets(
        cls, truth: Sequence[Sequence[int]], prediction: Sequence[Sequence[int]], num_classes: int
    ) -> Decisions:
        """Return those of samples that have any number of classes, each at most once."""
        both = [sorted({*true} & {*found}) for true, found in zip(truth, prediction, strict=True)]
        return cls.of_lists(num_classes, both, prediction, truth)

    def counts(self, weights: Weights) -> tuple[Values, Values, Values]:
        """Return hits, predictions and support of each class where each sample counts so often, `[rounds, classes]`."""
        found = [self._count(events, weights) for events in (self.hits, self.predicted, self.support)]
        return found[0], found[1], found[2]

    def _count(self, events: Events, weights: Weights) -> Values:
        samples, classes = events
        return np.stack([np.bincount(classes, row[samples], self.num_classes) for row in weights])

    def f1(self, average: Average, *, over: int | None = None) -> Weighted:
        """Return the mean F1, as `metrics/_confusion.py` defines it.

        Args:
            average: Of classes, of all decisions, or weighted by support.
            over: How many classes the macro mean is over, absent ones being 0; None: those that are true or predicted.
        """

        def of(weights: Weights) -> Values:
            hits, predicted, support = self.counts(weights)
            if average == "micro":
                return _zero(2 * hits.sum(1), (predicted + support).sum(1))
            each = _zero(2 * hits, predicted + support)
            if average == "weighted":
                return _zero((each * support).sum(1), support.sum(1))
            return each.sum(1) / over if over else _zero(each.sum(1), (predicted + support > 0).sum(1))

        return Weighted(self.num_samples, of)

    def precision(self) -> Weighted:
        """Return the share of all predictions that are right."""
        return Weighted(self.num_samples, lambda weights: self._overall(weights, 1))

    def recall(self) -> Weighted:
        """Return the share of all that is true that is predicted."""
        return Weighted(self.num_samples, lambda weights: self._overall(weights, 2))

    def _overall(self, weights: Weights, side: int) -> Values:
        found = self.counts(weights)
        return _zero(found[0].sum(1), found[side].sum(1))

    def mcc(self) -> Weighted:
        """Return Matthews' correlation of samples of one class each (Gorodkin 2004); 0 where there is none."""

        def of(weights: Weights) -> Values:
            hits, predicted, support = self.counts(weights)
            total = weights.sum(1)
            covariance = hits.sum(1) * total - (predicted * support).sum(1)
            spread = [total**2 - (side**2).sum(1) for side in (predicted, support)]
            return _zero(covariance, np.sqrt(spread[0].astype(np.float64) * spread[1]))

        return Weighted(self.num_samples, of)


def _events(classes: Sequence[Sequence[int]]) -> Events:
    sizes = np.array([len(own) for own in classes], np.int64)
    return np.repeat(np.arange(len(classes)), sizes), np.array([one for own in classes for one in own], np.int64)


def _zero(above: ArrayLike, below: ArrayLike) -> Values:
    """Divide; a quotient of nothing is 0."""
    numbers = np.asarray(below, np.float64)
    return np.divide(above, numbers, out=np.zeros(numbers.shape), where=numbers > 0)
