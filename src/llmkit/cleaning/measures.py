"""What the report measures of every document, before and after cleaning: a histogram each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmkit.cleaning.features import Features

NUM_BINS = 40
_ROWS_AT_A_TIME = 4096


class Measure(NamedTuple):
    """One quantity of a text.

    Attributes:
        name: What the report calls it.
        low: Lower edge of the first bin.
        high: Upper edge of the last bin.
        logarithmic: The bins are equal in powers of two, and `low` and `high` are exponents.
    """

    name: str
    low: float
    high: float
    logarithmic: bool = False

    def edge(self, position: int) -> float:
        """Return the lower edge of a bin."""
        edge = self.low + (self.high - self.low) * position / NUM_BINS
        return 2.0**edge if self.logarithmic else edge


MEASURES = (
    Measure("characters", 0, 20, logarithmic=True),
    Measure("words", 0, 20, logarithmic=True),
    Measure("characters per word", 0, 20),
    Measure("share of letters", 0, 1),
    Measure("share of digits", 0, 1),
    Measure("share of symbols", 0, 1),
    Measure("share of whitespace", 0, 1),
    Measure("share in repeated lines", 0, 1),
)


def measure(features: Features) -> tuple[float, ...]:
    """Return the value of every measure for a text."""
    totals = features.totals
    chars, words = len(features.text), totals.words
    if not chars:
        return (0.0,) * len(MEASURES)
    return (
        float(chars),
        float(words),
        totals.word_chars / words if words else 0.0,
        totals.letters / chars,
        totals.digits / chars,
        (chars - totals.letters - totals.digits - totals.spaces) / chars,
        totals.spaces / chars,
        features.duplicate_lines[1] / chars,
    )


@dataclass
class Histograms:
    """Counts and sums per bin of every measure.

    Attributes:
        count: Documents.
        sums: `[measures, NUM_BINS]` sum of the values per bin: means, and what is typical of a bin.
        bins: `[measures, NUM_BINS]` documents per bin; values beyond the edges count in the outermost bins.
    """

    count: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((len(MEASURES), NUM_BINS)))
    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(MEASURES), NUM_BINS), np.int64))
    _pending: list[Sequence[float]] = field(default_factory=list)

    def add(self, values: Sequence[float]) -> None:
        """Count one document."""
        self._pending.append(values)
        if len(self._pending) >= _ROWS_AT_A_TIME:
            self.settle()

    def settle(self) -> None:
        """Count the documents that were added: many at a time, which is what makes it cheap."""
        if not self._pending:
            return
        rows = np.array(self._pending)
        self._pending = []
        self.count += len(rows)
        for i, (_, low, high, logarithmic) in enumerate(MEASURES):
            values = np.log2(np.maximum(rows[:, i], 1)) if logarithmic else rows[:, i]
            places = np.clip((values - low) * (NUM_BINS / (high - low)), 0, NUM_BINS - 1).astype(np.int64)
            self.bins[i] += np.bincount(places, minlength=NUM_BINS)
            self.sums[i] += np.bincount(places, rows[:, i], minlength=NUM_BINS)

    def merge(self, other: Histograms) -> None:
        """Add the counts of another one."""
        self.settle()
        other.settle()
        self.count += other.count
        self.sums = self.sums + other.sums
        self.bins = self.bins + other.bins

    def mean(self, position: int) -> float:
        """Return the mean of one measure; 0 without documents."""
        self.settle()
        return float(self.sums[position].sum()) / self.count if self.count else 0.0

    def quantile(self, position: int, share: float) -> float:
        """Return the mean of the bin that holds a quantile of one measure; 0 without documents.

        So it is off by less than a bin, and not at all where the values in the bin are equal: most shares are 0.
        """
        self.settle()
        below = 0
        for count, total in zip(self.bins[position].tolist(), self.sums[position].tolist(), strict=True):
            below += count
            if count and below >= share * self.count:
                return float(total / count)
        return 0.0
