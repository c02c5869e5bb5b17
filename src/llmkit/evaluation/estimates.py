"""How sure a score is: standard error and 95% interval.

A mean's standard error is `s / sqrt(n)`, as in lm-eval, and by cluster where samples are not independent (Miller,
Adding error bars to evals, 2024). Its interval is Student's, that of a share Wilson's (Probable inference, JASA 1927),
by cluster with the sample size that the design is worth (Korn and Graubard, Survey Methodology 1998). All else is
resampled, see `resampling.py`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmkit.evaluation.distributions import normal_quantile, student_quantile
from llmkit.evaluation.measures import Measure, Sums
from llmkit.evaluation.resampling import LEVEL, SEED, bootstrap, percentiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAME = 1e-9
"""Relative to a value, a spread below which all samples say the same of it: they do not tell how sure it is."""
FINITE = 0.9
"""Share of resamples that must have a value: where fewer do, an interval would be that of the others."""


@dataclass(frozen=True)
class Estimate:
    """How sure a score is.

    Attributes:
        n: Samples that have a part in it.
        stderr: Standard error; None where it cannot be had.
        low: Lower end of the 95% interval; None likewise.
        high: Its upper end.
        method: `mean` (Student's t), `share` (Wilson), `bootstrap` (percentiles), or `none`.
        clusters: How many clusters those samples are of; None where samples stand alone.
        rounds: Resamples that had a value, of a bootstrap.
        higher_is_better: Which of two values is the better one; None where neither is.
        why: Why there is no interval, in words; "" where there is one.
    """

    n: int
    stderr: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = "none"
    clusters: int | None = None
    rounds: int | None = None
    higher_is_better: bool | None = True
    why: str = ""

    def facts(self) -> dict[str, Any]:
        """Return it as `results.json` has it."""
        found: dict[str, Any] = {"n": self.n, "stderr": self.stderr, "low": self.low, "high": self.high}
        found |= {"level": LEVEL, "method": self.method, "higher_is_better": self.higher_is_better}
        found |= {"clusters": self.clusters} if self.clusters is not None else {}
        found |= {"rounds": self.rounds, "seed": SEED} if self.rounds is not None else {}
        return found | ({"why": self.why} if self.why else {})


def estimate(measure: Measure, clusters: Sequence[Hashable] | None = None) -> Estimate:
    """Return how sure one score is; see `estimates`."""
    return estimates({"": measure}, clusters)[""]


def estimates(measures: Mapping[str, Measure], clusters: Sequence[Hashable] | None = None) -> dict[str, Estimate]:
    """Return how sure scores of the same samples are; those that are resampled are so together, at the cost of one.

    Args:
        measures: The scores, by name.
        clusters: What each sample belongs to, such as its document: samples of one are not independent, so that whole
            clusters are drawn. None, or all different, where samples stand alone.
    """
    found: dict[str, Estimate] = {}
    resampled: dict[bytes, list[tuple[str, Groups]]] = {}
    for name, measure in measures.items():
        groups = Groups.of(clusters, measure.used())
        if groups.count < 2:
            why = f"all {groups.n:,} samples are of one cluster" if groups.n > 1 else "it is that of one sample"
            found[name] = replace(_unsure(measure, groups), why=why if groups.n else "no sample has a part in it")
        elif isinstance(measure, Sums) and measure.is_mean:
            found[name] = _of_mean(measure, groups)
        else:
            key = groups.numbers.tobytes() + str(measure.rounds).encode()
            resampled.setdefault(key, []).append((name, groups))
    for members in resampled.values():
        groups = members[0][1]
        values = bootstrap([measures[name] for name, _ in members], groups.numbers)
        for (name, _), row in zip(members, values, strict=True):
            found[name] = _of_resamples(measures[name], groups, row)
    return {name: found[name] for name in measures}


@dataclass(frozen=True, eq=False)
class Groups:
    """The clusters of the samples that have a part in a score.

    Attributes:
        numbers: `[samples]` int64, number of each sample's cluster, from 0; -1 of those that have no part.
        count: How many clusters.
        n: How many samples have a part.
    """

    numbers: NDArray[np.int64]
    count: int
    n: int

    @classmethod
    def of(cls, clusters: Sequence[Hashable] | None, used: NDArray[np.bool_]) -> Groups:
        """Number the clusters in the order of the samples."""
        import numpy as np

        numbers = np.full(len(used), -1, np.int64)
        if clusters is None:
            numbers[used] = np.arange(used.sum())
            return cls(numbers, int(used.sum()), int(used.sum()))
        known: dict[Hashable, int] = {}
        for i in np.flatnonzero(used).tolist():
            numbers[i] = known.setdefault(clusters[i], len(known))
        return cls(numbers, len(known), int(used.sum()))

    @property
    def shown(self) -> int | None:
        """The number of clusters, where any holds more than one sample."""
        return self.count if self.count < self.n else None

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of `[samples]` values over each cluster, `[clusters]`."""
        import numpy as np

        has = self.numbers >= 0
        return np.bincount(self.numbers[has], values[has], self.count).astype(np.float64, copy=False)


def standard_error(values: NDArray[np.float64], groups: Groups) -> float:
    """Return the standard error of the mean of those of `[samples]` values that have a part, by cluster.

    Where samples stand alone it is `s / sqrt(n)` with the sample's standard deviation, as `mean_stderr` of lm-eval.
    """
    middle = math.fsum(values[groups.numbers >= 0].tolist()) / groups.n
    beside = groups.sums(values - middle)
    return math.sqrt(groups.count / (groups.count - 1) * float(beside @ beside)) / groups.n


def _unsure(measure: Measure, groups: Groups) -> Estimate:
    return Estimate(groups.n, clusters=groups.shown, higher_is_better=measure.higher_is_better)


def _of_mean(measure: Sums, groups: Groups) -> Estimate:
    values, middle = measure.statistics[:, 0], measure.value
    error = standard_error(values, groups)
    unsure = _unsure(measure, groups)
    wide = student_quantile((1 + LEVEL) / 2, groups.count - 1)
    if (hit := measure.hit()) is not None:
        z, share, worth = normal_quantile((1 + LEVEL) / 2), middle / hit, float(groups.n)
        if groups.shown is not None:  # as many samples of their own would say as much
            alone = share * (1 - share) / (groups.n - 1)
            worth = min(worth, worth * alone * (hit / error) ** 2) if error else float(groups.count)
            worth *= (z / wide) ** 2
        low, high = wilson(share, worth, z)
        return replace(unsure, stderr=error, low=hit * low, high=hit * high, method="share")
    if error <= SAME * abs(middle):
        return replace(unsure, stderr=error, why="all samples have the same value")
    low, high = middle - wide * error, middle + wide * error
    if measure.top is not None:
        low, high = max(0.0, low), min(measure.top, high)
    return replace(unsure, stderr=error, low=low, high=high, method="mean")


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Return the ends of Wilson's interval of a share of n, with z standard errors to each side."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _of_resamples(measure: Measure, groups: Groups, values: NDArray[np.float64]) -> Estimate:
    import numpy as np

    found = values[np.isfinite(values)]
    unsure = _unsure(measure, groups)
    if len(found) < max(2, FINITE * len(values)):
        why = f"only {len(found):,} of {len(values):,} resamples have a value"
        return replace(unsure, rounds=len(found), why=why)
    error = float(found.std(ddof=1))
    if error <= SAME * float(abs(found).max()):
        return replace(unsure, stderr=error, rounds=len(found), why="all resamples have the same value")
    low, high = percentiles(found, groups.count)
    return replace(unsure, stderr=error, low=low, high=high, method="bootstrap", rounds=len(found))


def shown(value: float) -> str:
    """Return a score for people: four decimals, one where it is large."""
    return f"{value:,.4f}" if abs(value) < 1000 else f"{value:,.1f}"


def shown_interval(low: float | None, high: float | None, *, sign: str = "") -> str:
    """Return an interval for people, `[0.5051, 0.5627]`; "" where there is none. With `+` both ends have a sign."""
    if low is None or high is None:
        return ""
    ends = (
        f"{value:{sign},.4f}" if max(abs(low), abs(high)) < 1000 else f"{value:{sign},.1f}" for value in (low, high)
    )
    return f"[{', '.join(ends)}]"


def shown_difference(value: float) -> str:
    """Return a difference for people, with its sign."""
    return f"{value:+,.4f}" if abs(value) < 1000 else f"{value:+,.1f}"


def shown_p(p: float) -> str:
    """Return a p-value for people."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
