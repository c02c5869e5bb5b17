"""The order of choices: whether it gives the answers away, and another one where it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from llmkit.core.json import dumps
from llmkit.evaluation.distributions import chi_square_above, coin_cdf

LEAST_LIKELY = 1e-3
"""Places of answers that chance gives less often than this are biased."""


def order_of(fields: Mapping[str, Any], count: int) -> list[int]:
    """Return an order of so many choices, drawn by what is in the row: the same wherever the row stands."""
    order = list(range(count))
    key = dumps(dict(fields), sort_keys=True, default=str)
    Random(key).shuffle(order)  # noqa: S311 - a draw, not a secret
    return order


def place_bias(places: Sequence[tuple[int, int]]) -> float:
    """Return how likely chance puts the right answers so unevenly.

    Args:
        places: Of each row the place of its answer, from 0, and the number of its choices.

    Returns:
        The p of a binomial test where all rows have two choices, else of a chi-square test against even places.
    """
    if not places:
        return 1.0
    counts = Counter(place for place, _ in places)
    if all(count == 2 for _, count in places):  # exact, for what small sets often are
        return min(1.0, 2 * coin_cdf(min(counts[0], len(places) - counts[0]), len(places)))
    most = max(count for _, count in places)
    expected = [sum(1 / count for _, count in places if place < count) for place in range(most)]
    statistic = sum((counts[place] - mean) ** 2 / mean for place, mean in enumerate(expected))
    return chi_square_above(statistic, most - 1)


def bias_words(places: Sequence[tuple[int, int]]) -> str:
    """Say where most right answers are, and how likely that is by chance; "" where places are even."""
    chance = place_bias(places)
    if chance >= LEAST_LIKELY:
        return ""
    place, count = Counter(place for place, _ in places).most_common(1)[0]
    share = 100 * count / len(places)
    return f"the right answer stands at place {place + 1} in {share:.0f}% of the rows (p = {chance:.1g})"
