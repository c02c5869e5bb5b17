"""What the scores of a metric rest on that only says how it is computed: the samples as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llmkit.evaluation.measures import Whole
from llmkit.metrics._given import checked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmkit.evaluation.measures import Measure
    from llmkit.metrics import Metric, References

ROUNDS = 100
"""Draws of samples; each costs what the metric costs."""


def resampled(metric: Metric, predictions: Sequence[str], references: References) -> dict[str, Measure]:
    """Return a measure for each number that a metric computes; a draw that it fails on has no value.

    Raises:
        DataError: There are no predictions, or one has no reference.
    """
    said, wanted = checked(metric.type_name, predictions, references)
    loaded, known = metric.load(), dict[bytes, dict[str, float]]()

    def scores(chosen: NDArray[np.int64]) -> dict[str, float]:
        # All scores of one metric are asked of the same draws, one score after the other.
        key = chosen.tobytes()
        if key not in known:
            try:
                found = loaded.compute(
                    predictions=[said[i] for i in chosen], references=[_plain(wanted[i]) for i in chosen]
                )
            except (ValueError, ArithmeticError):
                found = {}
            if len(known) > ROUNDS:
                known.clear()
            known[key] = found
        return known[key]

    first = loaded.compute(predictions=said, references=[_plain(options) for options in wanted])
    better = metric.higher_is_better

    def score(name: str) -> Callable[[NDArray[np.int64]], float]:
        return lambda chosen: float(scores(chosen).get(name, math.nan))

    return {name: Whole(len(said), score(name), better, ROUNDS) for name in first}


def _plain(options: list[str]) -> str | list[str]:
    """Return one reference as it is: a metric of somebody's own may know no lists."""
    return options[0] if len(options) == 1 else options
