"""Scores of samples with what they rest on, so that each can say how sure it is and be compared on the same samples.

A score is a function of sums over samples (accuracy, bits per byte, F1, BLEU), or of the samples as a whole (Spearman's
rho). Both can be had of any weights of the samples: that is all that a bootstrap and a paired test need, so that a
task only says what its scores are. Nothing here knows a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmkit.evaluation.resampling import ROUNDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

MIN_ROUNDS, BEARABLE = 200, 20_000_000
"""Rounds of a score that is computed anew in each, and samples in all of them: seconds for a rank correlation."""


class Measure:
    """A score of samples.

    Attributes:
        num_samples: Samples that it is computed of.
        higher_is_better: Which of two values is the better one; None where neither is.
        rounds: Of a bootstrap at most.
        is_mean: It is the mean of one number per sample.
    """

    num_samples: int
    higher_is_better: bool | None = True
    rounds: int = ROUNDS
    is_mean: bool = False

    def at(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value where each sample counts so often: `[rounds, samples]` to `[rounds]`; NaN of none."""
        raise NotImplementedError

    @property
    def value(self) -> float:
        """The score of all samples, each once."""
        import numpy as np

        return float(self.at(np.ones((1, self.num_samples)))[0])

    def used(self) -> NDArray[np.bool_]:
        """Return which samples have a part in it."""
        import numpy as np

        return np.ones(self.num_samples, np.bool_)


@dataclass(frozen=True, eq=False)
class Sums(Measure):
    """A score that is a function of sums over samples.

    Args:
        statistics: What each sample adds, `[samples, sums]`; a row of zeros is a sample that has no part in it.
        of: From sums `[..., sums]` to values `[...]`.
        higher_is_better: Which of two values is the better one; None where neither is.
        is_mean: The value is the first sum over the second, which counts samples.
        top: Largest value of one sample, the smallest being 0; None where there is none, or nobody has said it.
    """

    statistics: NDArray[np.float64]
    of: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    higher_is_better: bool | None = True
    is_mean: bool = False
    top: float | None = None

    @property
    def num_samples(self) -> int:  # type: ignore[override]
        """Samples that it is computed of."""
        return len(self.statistics)

    def at(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value where each sample counts so often."""
        import numpy as np

        with np.errstate(all="ignore"):
            return np.asarray(self.of(weights @ self.statistics), np.float64)

    @property
    def value(self) -> float:
        """The score of all samples; sums are exact, whatever their order."""
        import numpy as np

        sums = np.array([math.fsum(column) for column in self.statistics.T])
        with np.errstate(all="ignore"):
            return float(self.of(sums))

    def used(self) -> NDArray[np.bool_]:
        """Return which samples add anything."""
        found: NDArray[np.bool_] = (self.statistics != 0).any(axis=1)
        return found

    def hit(self) -> float | None:
        """Return what a hit counts in a mean of hits and misses, 1 or 100; None where there are other values too."""
        values = set(self.statistics[self.used(), 0].tolist()) if self.is_mean else {math.nan}
        top = self.top if self.top is not None else 100.0 if 100.0 in values else 1.0
        return top if values <= {0.0, top} else None


@dataclass(frozen=True, eq=False)
class Whole(Measure):
    """A score that only all samples together have, such as a correlation; each round computes it anew.

    Args:
        num_samples: Samples.
        of: From the numbers of samples, some of them repeated, to the value; NaN where there is none.
        higher_is_better: Which of two values is the better one; None where neither is.
        rounds: Of a bootstrap at most; of many samples they are fewer, since each round computes all of it.
    """

    num_samples: int
    of: Callable[[NDArray[np.int64]], float]
    higher_is_better: bool | None = True
    rounds: int = ROUNDS

    def __post_init__(self) -> None:
        bearable = max(MIN_ROUNDS, BEARABLE // max(1, self.num_samples))
        object.__setattr__(self, "rounds", min(self.rounds, bearable))

    def at(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value where each sample counts so often."""
        import numpy as np

        order = np.arange(self.num_samples)
        return np.array([self.of(np.repeat(order, row)) for row in weights.astype(np.int64)], np.float64)


def mean(values: ArrayLike, *, higher_is_better: bool | None = True, top: float | None = None) -> Sums:
    """Return the mean of one number per sample.

    Args:
        values: `[samples]`; NaN is a sample that has none.
        higher_is_better: Which of two values is the better one; None where neither is.
        top: Largest value that a sample can have, the smallest being 0. Not given, values that are all 0 or 1, or all
            0 or 100, are taken for those of a share.
    """
    import numpy as np

    found = np.asarray(values, np.float64)
    has = ~np.isnan(found)
    statistics = np.stack([np.where(has, found, 0.0), has.astype(np.float64)], axis=1)
    return Sums(statistics, _quotient, higher_is_better, is_mean=True, top=top)


def ratio(above: ArrayLike, below: ArrayLike, *, scale: float = 1.0, higher_is_better: bool | None = True) -> Sums:
    """Return the sum of one number over the sum of another, times `scale`: bits per byte, recall of a class."""
    import numpy as np

    statistics = np.stack([np.asarray(above, np.float64), np.asarray(below, np.float64)], axis=1)
    return Sums(statistics, lambda sums: scale * _quotient(sums), higher_is_better)


def exponential(above: ArrayLike, below: ArrayLike) -> Sums:
    """Return exp(-sum / sum), a perplexity: lower is better."""
    import numpy as np

    statistics = np.stack([np.asarray(above, np.float64), np.asarray(below, np.float64)], axis=1)
    return Sums(statistics, lambda sums: np.exp(-_quotient(sums)), higher_is_better=False)


def _quotient(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return np.divide(sums[..., 0], sums[..., 1])  # NaN of no samples


def clusters_of(samples: Sequence[Mapping[str, Any]]) -> list[Hashable] | None:
    """Return the `cluster` of each sample, where any has one; a sample without one stands alone."""
    if all(sample.get("cluster") is None for sample in samples):
        return None
    return [(number,) if (own := sample.get("cluster")) is None else own for number, sample in enumerate(samples)]
