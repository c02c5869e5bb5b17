"""Is a score different in two runs on the same samples: paired tests, and which samples made the difference.

Means are tested by the paired t-test, by cluster where there are clusters; shares of hits by McNemar's exact test
(Psychometrika 1947), with the interval of Agresti and Min (Statistics in Medicine 2005); everything else by resampling
both runs alike (Koehn, EMNLP 2004). Many p-values are corrected by Holm's method (Scandinavian Journal of Statistics,
1979).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from llmkit.evaluation.distributions import coin_cdf, normal_quantile, student_cdf, student_quantile
from llmkit.evaluation.estimates import FINITE, SAME, Groups, standard_error
from llmkit.evaluation.measures import Measure, Sums
from llmkit.evaluation.resampling import LEVEL, SEED, bootstrap, p_of, percentiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDS, DRAWS = 10_000, 200_000_000
"""Of a paired bootstrap, so that its smallest p-value survives a correction; and draws in all of them, some seconds."""
ALPHA = 0.05
"""A corrected p-value below it is a difference beyond noise."""
Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """A score of one run minus that of another, the reference, on the samples that both have.

    Attributes:
        score: Name of the score.
        difference: Value minus the reference's.
        n: Samples that have a part in it.
        higher_is_better: Which of two values is the better one; None of what has no better side, such as a length.
        low: Lower end of the 95% interval; None where there is no test.
        high: Its upper end; None likewise.
        p: p-value of no difference, to both sides.
        p_worse: p-value of the run being no worse, to one side.
        p_corrected: `p` after Holm's correction.
        test: `McNemar exact`, `paired t` or `paired bootstrap`; "" for none.
        num_won: Samples on which the run is better; None where samples have no values of their own.
        num_lost: Those on which it is worse.
        clusters: How many clusters the samples are of; None where they stand alone.
        rounds: Resamples, of a bootstrap.
        why: Why there is no test, in words.
    """

    score: str
    difference: float
    n: int
    higher_is_better: bool | None = True
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_worse: float | None = None
    p_corrected: float | None = None
    test: str = ""
    num_won: int | None = None
    num_lost: int | None = None
    clusters: int | None = None
    rounds: int | None = None
    why: str = ""

    @property
    def mark(self) -> Literal["better", "worse", ""]:
        """Say which way a difference beyond noise goes; "" where there is none, or no better side."""
        if self.p_corrected is None or self.p_corrected >= ALPHA or self.higher_is_better is None:
            return ""
        return "better" if (self.difference > 0) == self.higher_is_better else "worse"

    def facts(self) -> dict[str, Any]:
        """Return it as `results.json` has it."""
        names = ("difference", "low", "high", "p", "p_corrected", "p_worse", "test", "n", "higher_is_better")
        found = {name: getattr(self, name) for name in names} | {"level": LEVEL, "mark": self.mark}
        more = {name: getattr(self, name) for name in ("num_won", "num_lost", "clusters", "rounds")}
        found |= {name: value for name, value in more.items() if value is not None}
        found |= {"seed": SEED} if self.rounds is not None else {}
        return found | ({"why": self.why} if self.why else {})


@dataclass
class Pairs:
    """Samples of two runs, brought together by their ids.

    Attributes:
        now: Those of the run that the reference has as well, in the reference's order.
        before: The reference's, one beside each.
        only_now: How many the reference lacks.
        only_before: How many the run lacks.
    """

    now: list[Sample] = field(default_factory=list)
    before: list[Sample] = field(default_factory=list)
    only_now: int = 0
    only_before: int = 0

    @classmethod
    def of(cls, now: Sequence[Sample], before: Sequence[Sample]) -> Pairs:
        """Bring samples together; of several with one id the first with the first, and so on."""
        named = dict(_named(now))
        pairs = cls()
        for name, sample in _named(before):
            if (other := named.pop(name, None)) is None:
                pairs.only_before += 1
            else:
                pairs.now.append(other)
                pairs.before.append(sample)
        pairs.only_now = len(named)
        return pairs

    def note(self) -> str:
        """Say how many samples only one of the runs has; "" of none."""
        if not self.only_now and not self.only_before:
            return ""
        return (
            f"compared on the {len(self.now):,} samples that both have: {self.only_before:,} are the reference's alone,"
            f" {self.only_now:,} the other's"
        )


def _named(samples: Sequence[Sample]) -> Iterator[tuple[Hashable, Sample]]:
    seen: Counter[str] = Counter()
    for sample in samples:
        name = str(sample.get("id"))
        yield (name, seen[name]), sample
        seen[name] += 1


def differences(
    now: Mapping[str, Measure], before: Mapping[str, Measure], clusters: Sequence[Hashable] | None = None
) -> dict[str, Difference]:
    """Test the scores that two runs have, on the same samples in the same order.

    Args:
        now: The scores of the one.
        before: Those of the reference.
        clusters: As in `estimates`.
    """
    found: dict[str, Difference] = {}
    resampled: dict[bytes, list[tuple[str, Groups]]] = {}
    for name in [name for name in now if name in before]:
        one, other = now[name], before[name]
        both = one.is_mean and other.is_mean
        groups = Groups.of(clusters, one.used() & other.used() if both else one.used() | other.used())
        if groups.count < 2:
            why = "it rests on a single sample" if groups.n == 1 else "it rests on a single cluster"
            found[name] = _untested(name, one, other, groups, why if groups.n else "no sample has a part in it")
        elif isinstance(one, Sums) and isinstance(other, Sums) and both:
            found[name] = _of_means(name, one, other, groups)
        else:
            key = groups.numbers.tobytes() + str(rounds_for(one, other, groups)).encode()
            resampled.setdefault(key, []).append((name, groups))
    for members in resampled.values():
        groups, names = members[0][1], [name for name, _ in members]
        rounds = rounds_for(now[names[0]], before[names[0]], groups)
        values = bootstrap([*(now[name] for name in names), *(before[name] for name in names)], groups.numbers, rounds)
        for number, name in enumerate(names):
            delta = values[number] - values[number + len(names)]
            found[name] = _of_resamples(name, now[name], before[name], groups, delta)
    return {name: found[name] for name in now if name in found}


def rounds_for(one: Measure, other: Measure, groups: Groups) -> int:
    """Return how many resamples a pair of scores is compared on."""
    if isinstance(one, Sums) and isinstance(other, Sums):
        return max(one.rounds, min(ROUNDS, DRAWS // groups.count))
    return min(one.rounds, other.rounds)


def _untested(name: str, one: Measure, other: Measure, groups: Groups, why: str) -> Difference:
    return Difference(name, one.value - other.value, groups.n, one.higher_is_better, clusters=groups.shown, why=why)


def _of_means(name: str, one: Sums, other: Sums, groups: Groups) -> Difference:
    import numpy as np

    has = groups.numbers >= 0
    delta = np.where(has, one.statistics[:, 0] - other.statistics[:, 0], 0.0)
    sign = -1 if one.higher_is_better is False else 1
    won, lost = int((sign * delta > 0).sum()), int((sign * delta < 0).sum())
    value = math.fsum(delta.tolist()) / groups.n
    if (hit := _hit(one, other)) is not None and groups.shown is None:
        return _of_shares(name, value, groups.n, one.higher_is_better, hit, won, lost)
    error = standard_error(delta, groups)
    least = 0.5**groups.count  # as few clusters as that could not say more, had all of them gone one way
    if error <= SAME * abs(value):
        two, worse = (1.0, 1.0) if not value else (2 * least, least if sign * value < 0 else 1.0)
        low, high = value, value
    else:
        ratio, free = value / error, groups.count - 1
        two, worse = max(2 * least, 2 * student_cdf(-abs(ratio), free)), max(least, student_cdf(sign * ratio, free))
        half = student_quantile((1 + LEVEL) / 2, free) * error
        low, high = value - half, value + half
    return Difference(
        name, value, groups.n, one.higher_is_better, low, high, min(1.0, two), worse, test="paired t", num_won=won,
        num_lost=lost, clusters=groups.shown,
    )  # fmt: skip


def _hit(one: Sums, other: Sums) -> float | None:
    """Return what a hit counts in both; one that has none at all does not say it."""
    both = [(measure.hit(), measure.value) for measure in (one, other)]
    tops = {hit for hit, value in both if value} or {hit for hit, _ in both}
    return tops.pop() if len(tops) == 1 and all(hit is not None for hit, _ in both) else None


def _of_shares(name: str, value: float, n: int, higher: bool | None, hit: float, won: int, lost: int) -> Difference:
    """Test by McNemar: without a change a sample that one alone gets right is either's with the same chance."""
    one_sided = coin_cdf(min(won, lost), won + lost)
    worse = coin_cdf(won, won + lost)  # so many are lost, or more
    z = normal_quantile((1 + LEVEL) / 2)
    middle = (won - lost) / (n + 2)  # half a sample more in each of the four cells: never an interval of no width
    half = z * math.sqrt((won + lost + 1) - (won - lost) ** 2 / (n + 2)) / (n + 2)
    low, high = (hit * max(-1.0, middle - half), hit * min(1.0, middle + half))
    low, high = (-high, -low) if higher is False else (low, high)
    return Difference(
        name, value, n, higher, low, high, min(1.0, 2 * one_sided), worse, test="McNemar exact", num_won=won,
        num_lost=lost,
    )  # fmt: skip


def _of_resamples(name: str, one: Measure, other: Measure, groups: Groups, delta: NDArray[np.float64]) -> Difference:
    import numpy as np

    found, value = delta[np.isfinite(delta)], one.value - other.value
    if len(found) < max(2, FINITE * len(delta)):
        return _untested(name, one, other, groups, f"only {len(found):,} of {len(delta):,} resamples have a value")
    share = [(1 + int((side * found >= 0).sum())) / (1 + len(found)) for side in (1, -1)]
    two = 2 * p_of(min(*share, 0.5), groups.count)
    worse = p_of(share[1 if one.higher_is_better is False else 0], groups.count)
    low, high = percentiles(found, groups.count)
    return Difference(
        name, value, groups.n, one.higher_is_better, low, high, two, worse, test="paired bootstrap",
        clusters=groups.shown, rounds=len(found),
    )  # fmt: skip


def is_secondary(score: str) -> bool:
    """Tell whether a score is that of a part, `bits_per_byte[source=wiki]`: such are corrected apart, and not gated."""
    return "[" in score


def corrected(found: Sequence[Difference]) -> list[Difference]:
    """Return the differences of one report with their p-values corrected for how many there are."""
    values: dict[int, float] = {}
    for secondary in (False, True):
        family = [i for i, one in enumerate(found) if one.p is not None and is_secondary(one.score) == secondary]
        values |= dict(zip(family, holm([found[i].p or 0.0 for i in family]), strict=True))
    return [replace(one, p_corrected=values.get(i)) for i, one in enumerate(found)]


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's method: the chance of any false alarm among all of them stays below each."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    result, so_far = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(values) - rank) * values[i]))
        result[i] = so_far
    return result
