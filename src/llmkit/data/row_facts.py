"""Facts about encoded rows, by a few passes over their ids: what is asked and learned, how rows begin and end.

Everything is of what the model reads: two rows are alike if their ids are, whatever the file had.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from llmkit.data.packing.batch import IGNORED, Ints
from llmkit.data.packing.encoded import EncodedRows
from llmkit.data.packing.packer import cumulative

IDS, LABELS = "input_ids", "labels"
CHUNK_TOKENS = 2**14
"""Looked at together: as many as a core's cache holds."""
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class RowFacts:
    """What is known of some rows, `[rows]` each.

    Attributes:
        asked: 64 bits that stand for what the model is shown: of an answer all before it, else the whole sequence.
        answer: 64 bits that stand for what it is to say: the last answer, the labels, or the label.
        targets: How many tokens or labels are learned.
        first, second: The first two ids; -1 where a row has none.
        last: The last target; -1 where there is none.
    """

    asked: Hashes
    answer: Hashes
    targets: Ints
    first: Ints
    second: Ints
    last: Ints

    @classmethod
    def of(cls, rows: EncodedRows, *, spoken: bool) -> Self | None:
        """Look at rows; None for rows without ids.

        Args:
            rows: The rows.
            spoken: Labels are the ids that go on from what is shown, as a causal model learns them.
        """
        names = [name for name in rows.ragged if name.endswith(IDS)]
        if not names or not len(rows):
            return None
        parts = [_look(rows, names, chunk, spoken=spoken) for chunk in _chunks(rows, names[0])]
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def duplicates(self) -> int:
        """Return how many rows are copies of others: as many could go."""
        return len(self.asked) - len(np.unique(self._pairs()))

    def conflicts(self) -> int:
        """Return how many rows are shown what others are shown as well, and are to be answered differently."""
        _, places = np.unique(self._pairs(), return_index=True)
        asked, counts = np.unique(self.asked[places], return_counts=True)
        return int(np.isin(self.asked, asked[counts > 1]).sum())

    def _pairs(self) -> Hashes:
        return _mixed(self.asked, self.answer)


def _chunks(rows: EncodedRows, name: str) -> Iterator[Ints]:
    """Yield the numbers of rows that are looked at together."""
    chunk = cumulative(rows.lengths(name))[:-1] // CHUNK_TOKENS
    yield from np.split(np.arange(len(rows)), np.flatnonzero(np.diff(chunk)) + 1)


def _look(rows: EncodedRows, names: list[str], chunk: Ints, *, spoken: bool) -> tuple[NDArray[Any], ...]:
    ids, starts, stops, places = _flat(rows, names[0], chunk)
    sums = _sums(_mixed(ids, places))
    asked = sums[stops] - sums[starts]
    for number, name in enumerate(names[1:], 2):
        more, begin, end, where = _flat(rows, name, chunk)
        others = _sums(_mixed(more, where))
        asked = asked + np.uint64(2 * number + 1) * (others[end] - others[begin])
    has = stops > starts
    first, second = _at(ids, starts, has), _at(ids, starts + 1, stops - starts > 1)
    count, last, answer = np.ones(len(chunk), np.int64), np.full(len(chunk), -1), np.zeros(len(chunk), np.uint64)
    if LABELS not in rows.columns:
        return asked, answer, count, first, second, last
    if LABELS not in rows.ragged:
        return asked, _of_values(rows, chunk), count, first, second, last
    labels, begin, end, where = _flat(rows, LABELS, chunk)
    learned = labels != IGNORED
    found = np.flatnonzero(learned)
    answers = _sums(_mixed(labels[found], where[found]))
    upto = np.searchsorted(found, end)
    since = np.concatenate([[0], upto[:-1]])
    count = upto - since
    there = count > 0
    last = _at(labels, _before(found, end), there)
    if spoken:
        before = np.concatenate([[False], learned[:-1]])
        before[begin[begin < end]] = False
        start = np.where(there, _before(np.flatnonzero(learned & ~before), end), begin)
        asked = np.where(there, sums[np.minimum(start + 1, end)] - sums[begin], asked)
        since = np.searchsorted(found, start)
    return asked, answers[upto] - answers[since], count, first, second, last


def _flat(rows: EncodedRows, name: str, chunk: Ints) -> tuple[NDArray[Any], Ints, Ints, Ints]:
    """Return the values of neighbouring rows, where each row begins and ends among them, and the place in its row."""
    sizes = rows.lengths(name)[chunk]
    ends = cumulative(sizes)
    values = rows.stretch(name, int(chunk[0]), int(chunk[-1]) + 1)
    return values, ends[:-1], ends[1:], np.arange(ends[-1]) - np.repeat(ends[:-1], sizes)


def _of_values(rows: EncodedRows, chunk: Ints) -> Hashes:
    """Return what stands for the labels of rows whose label has one shape."""
    size = int(np.prod(rows.columns[LABELS].shape))
    values = rows.values[LABELS][int(chunk[0]) * size : (int(chunk[-1]) + 1) * size]
    bits = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}").reshape(len(chunk), size)
    mixed: Hashes = _mixed(bits, np.broadcast_to(np.arange(size), bits.shape)).sum(axis=1, dtype=np.uint64)
    return mixed


def _mixed(values: NDArray[Any], places: NDArray[Any]) -> Hashes:
    """Return 64 bits for each value at its place, which add up to those of a sequence (the mixer of SplitMix64)."""
    bits = values.astype(np.uint64) + (places.astype(np.uint64) << np.uint64(32))
    bits *= np.uint64(0x9E3779B97F4A7C15)
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    return bits


def _sums(values: Hashes) -> Hashes:
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values, out=sums[1:])
    return sums


def _before(places: Ints, ends: Ints) -> Ints:
    """Return the last of some places before each end; 0 where there is none."""
    if not places.size:
        return np.zeros(len(ends), np.int64)
    return places[np.maximum(np.searchsorted(places, ends) - 1, 0)]


def _at(values: NDArray[Any], places: Ints, there: NDArray[np.bool_]) -> Ints:
    found = np.full(len(places), -1, np.int64)
    found[there] = values[places[there]]
    return found
