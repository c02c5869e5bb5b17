"""Measures of classes, one a row or any number of labels a row, as scikit-learn defines them with `zero_division=0`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Average = Literal["macro", "micro", "weighted"]
"""The mean over classes, that over all decisions together, or the mean weighted by how often a class is true."""


@dataclass(frozen=True)
class ClassCounts:
    """How often each class is true, is predicted, and is both; a quotient of 0 by 0 is 0.

    Attributes:
        hits: `[classes]` int64, predicted where it is true.
        predicted: `[classes]` int64.
        support: `[classes]` int64, how often it is true.
        counted: `[classes]` bool, what the macro mean is over.
    """

    hits: NDArray[np.int64]
    predicted: NDArray[np.int64]
    support: NDArray[np.int64]
    counted: NDArray[np.bool_]

    @property
    def precision(self) -> NDArray[np.float64]:
        """`[classes]` hits per prediction."""
        return _quotients(self.hits, self.predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """`[classes]` hits per row in which the class is true."""
        return _quotients(self.hits, self.support)

    @property
    def f1(self) -> NDArray[np.float64]:
        """`[classes]` harmonic mean of precision and recall; 0 for a class that is true and never predicted."""
        return _quotients(2 * self.hits, self.predicted + self.support)

    @property
    def overall(self) -> ClassCounts:
        """All decisions together, `[1]`: what micro averages are of."""
        hits, predicted, support = (part.sum(keepdims=True) for part in (self.hits, self.predicted, self.support))
        return ClassCounts(hits, predicted, support, np.ones(1, np.bool_))

    def mean_f1(self, average: Average) -> float:
        """Return F1 over all classes; 0 if there are none to count."""
        if average == "micro":
            return float(self.overall.f1[0])
        weights = self.support if average == "weighted" else self.counted
        return float((self.f1 * weights).sum() / weights.sum()) if weights.any() else 0.0


@dataclass(frozen=True)
class Confusion(ClassCounts):
    """What was predicted where what was true.

    Attributes:
        matrix: Rows by true and by predicted class, `[classes, classes]`; of labels `[labels, 2, 2]`, each label's own.
        accuracy: Share of rows that are right, in all of their labels.
        majority: The accuracy of the best answer that is always the same.
    """

    matrix: NDArray[np.int64]
    accuracy: float
    majority: float

    def scores(self) -> dict[str, float]:
        """Return the scores over all classes, from 0 to 1, by name."""
        averages: tuple[Average, ...] = ("macro", "micro", "weighted")
        means = {f"{average}_f1": self.mean_f1(average) for average in averages}
        return {"accuracy": self.accuracy, **means, "majority_accuracy": self.majority}


def confusion_of_classes(truth: ArrayLike, prediction: ArrayLike, num_classes: int) -> Confusion:
    """Compare the classes of rows; one that is neither true nor predicted is left out of the macro mean.

    Args:
        truth: `[rows]` int, from 0.
        prediction: `[rows]` int; -1 where the answer is no class, which is wrong and no prediction of any.
        num_classes: How many classes there are.

    Raises:
        ValueError: There are no rows, not as many of both, or numbers beyond the classes.
    """
    true, found = _integers(truth), _integers(prediction)
    _check_rows(true, found, num_dimensions=1)
    if true.min() < 0 or found.min() < -1 or max(true.max(), found.max()) >= num_classes:
        raise ValueError(f"classes beyond 0 to {num_classes - 1}")
    answered = found >= 0
    cells = np.bincount(true[answered] * num_classes + found[answered], minlength=num_classes**2)
    matrix = cells.reshape(num_classes, num_classes)
    predicted, support = matrix.sum(axis=0), np.bincount(true, minlength=num_classes)
    return Confusion(
        hits=matrix.diagonal(),
        predicted=predicted,
        support=support,
        counted=predicted + support > 0,
        matrix=matrix,
        accuracy=float((true == found).mean()),
        majority=float(support.max() / true.size),
    )


def confusion_of_labels(truth: ArrayLike, prediction: ArrayLike) -> Confusion:
    """Compare the labels of rows, any number each; the macro mean is over all, also those that never occur.

    Args:
        truth: `[rows, labels]` bool.
        prediction: `[rows, labels]` bool.

    Raises:
        ValueError: There are no rows, not as many of both, or not the same labels.
    """
    true, found = np.asarray(truth, np.bool_), np.asarray(prediction, np.bool_)
    _check_rows(true, found, num_dimensions=2)
    hits, predicted, support = (part.sum(axis=0) for part in (true & found, found, true))
    absent = len(true) - predicted - support + hits
    _, repeats = np.unique(true, axis=0, return_counts=True)
    return Confusion(
        hits=hits,
        predicted=predicted,
        support=support,
        counted=np.ones(true.shape[1], np.bool_),
        matrix=np.stack([absent, predicted - hits, support - hits, hits], axis=-1).reshape(-1, 2, 2),
        accuracy=float((true == found).all(axis=1).mean()),
        majority=float(repeats.max() / len(true)),
    )


def _integers(classes: ArrayLike) -> NDArray[np.int64]:
    return np.asarray(classes).astype(np.int64, casting="safe")


def _check_rows(true: NDArray[np.generic], found: NDArray[np.generic], *, num_dimensions: int) -> None:
    if true.shape != found.shape or true.ndim != num_dimensions or not len(true):
        raise ValueError(f"expected rows of {num_dimensions} dimension(s), got {true.shape} and {found.shape}")


def _quotients(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(counts, totals, out=np.zeros(len(totals)), where=totals != 0)
