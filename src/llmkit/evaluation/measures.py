"""Scores of samples with what they rest on, so that each can say how sure it is and be compared on the same samples.

A score is a function of sums over samples (accuracy, bits per byte, F1, BLEU), or of the samples as a whole (Spearman's
rho). Both can be had of any weights of the samples: that is all that a bootstrap and a paired test need, so that a
task only says what its scores are. Nothing here knows a model.

Sources: Wilson, Probable inference, JASA 1927 (shares); Efron and Tibshirani, An Introduction to the Bootstrap, 1993
(percentile intervals); Koehn, Statistical significance tests for machine translation evaluation, EMNLP 2004 (paired).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

ROUNDS, SEED, LEVEL = 1000, 0, 0.95
"""Of a bootstrap, and the share of intervals that hold the true value."""
CHUNK = 64
"""Rounds whose weights are in memory at a time."""


class Measure:
    """A score of samples.

    Attributes:
        num_samples: Samples that it is computed of.
        higher_is_better: Which of two values is the better one.
    """

    num_samples: int
    higher_is_better: bool = True

    def at(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the value where each sample counts so often: `[rounds, samples]` to `[rounds]`; NaN of none."""
        raise NotImplementedError

    @property
    def value(self) -> float:
        """The score of all samples, each once."""
        import numpy as np

        return float(self.at(np.ones((1, self.num_samples), np.int64))[0])

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
        higher_is_better: Which of two values is the better one.
        is_mean: The value is the first sum over the second, which counts samples.
    """

    statistics: NDArray[np.float64]
    of: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    higher_is_better: bool = True
    is_mean: bool = False

    @property
    def num_samples(self) -> int:  # type: ignore[override]
        """Samples that it is computed of."""
        return len(self.statistics)

    def at(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the value where each sample counts so often."""
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.of(weights @ self.statistics), np.float64)

    @property
    def value(self) -> float:
        """The score of all samples; sums are exact, whatever their order."""
        import numpy as np

        sums = np.array([math.fsum(column) for column in self.statistics.T])
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self.of(sums))

    def used(self) -> NDArray[np.bool_]:
        """Return which samples add anything."""
        found: NDArray[np.bool_] = (self.statistics != 0).any(axis=1)
        return found


@dataclass(frozen=True, eq=False)
class Whole(Measure):
    """A score that only all samples together have, such as a correlation; each round computes it anew.

    Args:
        num_samples: Samples.
        of: From the numbers of samples, some of them repeated, to the value; NaN where there is none.
        higher_is_better: Which of two values is the better one.
        rounds: Of a bootstrap at most, for what is slow.
    """

    num_samples: int
    of: Callable[[NDArray[np.int64]], float]
    higher_is_better: bool = True
    rounds: int = ROUNDS

    def at(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the value where each sample counts so often."""
        import numpy as np

        order = np.arange(self.num_samples)
        return np.array([self.of(np.repeat(order, row)) for row in weights], np.float64)


def mean(values: ArrayLike, *, higher_is_better: bool = True) -> Sums:
    """Return the mean of one number per sample; NaN is a sample that has none."""
    import numpy as np

    found = np.asarray(values, np.float64)
    has = ~np.isnan(found)
    statistics = np.stack([np.where(has, found, 0.0), has.astype(np.float64)], axis=1)
    return Sums(statistics, _quotient, higher_is_better, is_mean=True)


def ratio(above: ArrayLike, below: ArrayLike, *, scale: float = 1.0, higher_is_better: bool = True) -> Sums:
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


@dataclass(frozen=True)
class Estimate:
    """How sure a score is.

    Attributes:
        n: Samples that have a part in it.
        stderr: Standard error; None of a single sample, or where it cannot be had.
        low: Lower end of the 95% interval; None likewise.
        high: Its upper end.
        method: `mean` (stderr = s / sqrt(n), interval by Student's t), `share` (the same stderr, Wilson's interval) or
            `bootstrap` (percentiles).
        clusters: How many clusters were drawn instead of samples; None where samples stand alone.
        rounds: Of a bootstrap.
    """

    n: int
    stderr: float | None
    low: float | None
    high: float | None
    method: str
    clusters: int | None = None
    rounds: int | None = None
    higher_is_better: bool = True

    def facts(self) -> dict[str, Any]:
        """Return it as `results.json` has it."""
        return {
            "n": self.n, "stderr": self.stderr, "low": self.low, "high": self.high, "level": LEVEL,
            "method": self.method, "higher_is_better": self.higher_is_better,
            **({"clusters": self.clusters} if self.clusters is not None else {}),
            **({"rounds": self.rounds, "seed": SEED} if self.rounds is not None else {}),
        }  # fmt: skip


def estimate(measure: Measure, clusters: Sequence[Hashable] | None = None) -> Estimate:
    """Return how sure a score is.

    Args:
        measure: The score.
        clusters: What each sample belongs to, such as its document: samples of one are not independent, so that whole
            clusters are drawn. None, or all different, where samples stand alone.
    """
    import numpy as np

    used = measure.used()
    n = int(used.sum())
    groups = _groups(clusters, measure.num_samples)
    alone = groups.max(initial=-1) + 1 == measure.num_samples
    better = measure.higher_is_better
    if n < 2:
        return Estimate(n, None, None, None, "mean", higher_is_better=better)
    if isinstance(measure, Sums) and measure.is_mean and alone:
        values = measure.statistics[used, 0]
        return _of_mean(values, better)
    num_groups = len(np.unique(groups[used]))
    found = bootstrap([measure], groups)[0]
    found = found[np.isfinite(found)]
    named = {"method": "bootstrap", "clusters": None if alone else num_groups, "higher_is_better": better}
    if num_groups < 2 or len(found) < 2:
        return Estimate(n, None, None, None, rounds=len(found), **named)  # type: ignore[arg-type]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    error = float(found.std(ddof=1))
    return Estimate(n, error, float(low), float(high), rounds=len(found), **named)  # type: ignore[arg-type]


def _of_mean(values: NDArray[np.float64], better: bool) -> Estimate:
    from scipy.stats import norm, t

    n, middle = len(values), float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(n)
    top = float(values.max())
    if set(values.tolist()) <= {0.0, top} and top in (0.0, 1.0, 100.0):
        z, scale, share = float(norm.ppf((1 + LEVEL) / 2)), top or 1.0, middle / (top or 1.0)
        centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        low, high = max(0.0, centre - half), min(1.0, centre + half)
        return Estimate(n, error, scale * low, scale * high, "share", higher_is_better=better)
    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * error
    return Estimate(n, error, middle - half, middle + half, "mean", higher_is_better=better)


def bootstrap(measures: Sequence[Measure], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Draw clusters with replacement, the same ones for all measures, and return their values: `[measures, rounds]`.

    Args:
        measures: Scores of the same samples.
        groups: `[samples]`, the cluster of each, from 0.
    """
    import numpy as np

    rng = np.random.default_rng(SEED)
    num_groups = int(groups.max()) + 1
    rounds = min(measure.rounds if isinstance(measure, Whole) else ROUNDS for measure in measures)
    found: list[NDArray[np.float64]] = []
    for start in range(0, rounds, CHUNK):
        count = min(CHUNK, rounds - start)
        drawn = rng.integers(num_groups, size=(count, num_groups))
        times = np.stack([np.bincount(row, minlength=num_groups) for row in drawn])
        weights = times[:, groups]
        found.append(np.stack([measure.at(weights) for measure in measures]))
    return np.concatenate(found, axis=1)


def _groups(clusters: Sequence[Hashable] | None, num_samples: int) -> NDArray[np.int64]:
    import numpy as np

    if clusters is None:
        return np.arange(num_samples)
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(one, len(numbers)) for one in clusters], np.int64)


def clusters_of(samples: Sequence[dict[str, Any]]) -> list[Hashable] | None:
    """Return the `cluster` of each sample, where any has one; a sample without one stands alone."""
    if not any("cluster" in sample for sample in samples):
        return None
    return [sample.get("cluster", (number,)) for number, sample in enumerate(samples)]
