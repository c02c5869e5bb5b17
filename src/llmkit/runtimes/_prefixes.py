"""Rows that begin alike, as the choices of one question behind one set of shots: what they share is there once.

Rows sorted by their ids are a tree that is walked from its root: what a row has in common with the row before it is the
path to where it branches off. Such a tree is laid out as one row of ids in which an id sees those on its own path
alone, whatever the number of levels, and nothing is padded. Branches are laid out as several rows where they fill
them: within one, each token would be compared with all those that it does not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmkit.runtimes import Ids

LEAST_SHARE = 0.2
"""Share of a row that it has in common with a neighbour to be put beside it, not beside rows of its length."""
MOST_MORE = 0.1
"""Share of tokens more, padded or repeated, beyond which branches are not laid side by side."""


def order_of(rows: Sequence[Ids]) -> list[int]:
    """Return the numbers of rows, sorted by their ids."""
    keys = [np.asarray(row, ">u4").tobytes() for row in rows]  # they compare as the tuples do, but fast
    return sorted(range(len(rows)), key=keys.__getitem__)


def common(one: Ids, other: Ids) -> int:
    """Return how many ids two rows have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def families(rows: Sequence[Ids]) -> list[list[tuple[int, int]]]:
    """Return the groups of rows in which each begins much like the one before it; rows of no group are left out.

    Returns:
        Of each group `(number, shared)` of its rows, sorted by their ids: how many ids are those of the one before.
    """
    found: list[list[tuple[int, int]]] = []
    group: list[tuple[int, int]] = []
    for number in order_of(rows):
        if group:
            before, own = rows[group[-1][0]], rows[number]
            shared = common(before, own)
            if shared and shared >= LEAST_SHARE * min(len(before), len(own)):
                group.append((number, shared))
                continue
            found.append(group)
        group = [(number, 0)]
    return [each for each in [*found, group] if len(each) > 1]


@dataclass(frozen=True)
class Tree:
    """Rows laid out as one.

    Attributes:
        ids: `[tokens]` int64, each row's own behind those of the row that it branches off from.
        places: `[tokens]` int64 position of each in its row.
        ends: `[tokens]` int64 first token behind all that see this one.
        paths: Of each row, int64, where its ids are, in the order in which the rows were given.
        root: Ids that all rows begin with; they stand at the beginning.
    """

    ids: NDArray[np.int64]
    places: NDArray[np.int64]
    ends: NDArray[np.int64]
    paths: list[NDArray[np.int64]]
    root: int

    @classmethod
    def of(cls, rows: Sequence[Ids]) -> Tree:
        """Lay out rows, of which none is empty."""
        order = order_of(rows)
        paths: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(rows)
        ids: list[int] = []
        places: list[int] = []
        left: list[tuple[int, int, int]] = []  # a path that was left: from which row, at which depth, at which token
        before, root = -1, len(rows[order[0]])
        for number in order:
            row = rows[number]
            shared = common(rows[before], row) if before >= 0 else 0
            if before >= 0:
                left.append((before, shared, len(ids)))
                root = min(root, shared)
            own = np.arange(len(ids), len(ids) + len(row) - shared)
            paths[number] = np.concatenate([paths[before][:shared], own])
            ids += row[shared:]
            places += range(shared, len(row))
            before = number
        ends = np.full(len(ids), len(ids))
        for number, depth, end in reversed(left):  # backwards: of a token that was left, the first time holds
            ends[paths[number][depth:]] = end
        return cls(np.array(ids), np.array(places), ends, paths, root)

    def seen(self, begin: int = 0) -> NDArray[np.bool_]:
        """Return `[tokens - begin, tokens]` which tokens each token from `begin` on sees."""
        numbers = np.arange(len(self.ids))
        seen: NDArray[np.bool_] = (numbers <= numbers[begin:, None]) & (numbers[begin:, None] < self.ends)
        return seen

    def side_by_side(self, begin: int = 0) -> NDArray[np.int64] | None:
        """Return rows of whole branches, each behind what all rows begin with, as long as the longest of them.

        Args:
            begin: So many of the ids that all begin with are not laid out: their keys and values are known.

        Returns:
            `[rows, longest]` int64 numbers of tokens, and behind them `len(ids)` for padding; None where one row is
            better: of a single branch, behind more than it has itself, or of branches that leave too much room.
        """
        starts = np.flatnonzero(self.places == self.root)
        if len(starts) < 2:
            return None
        sizes = np.diff(starts, append=len(self.ids))
        longest = int(sizes.max())
        rows: list[list[int]] = []
        room: list[int] = []
        for branch in np.argsort(-sizes, kind="stable").tolist():  # the first row that has room, the longest first
            size = int(sizes[branch])
            row = next((number for number, left in enumerate(room) if left >= size), len(rows))
            if row == len(rows):
                rows.append(list(range(begin, self.root)))
                room.append(longest)
            room[row] -= size
            rows[row] += range(starts[branch], starts[branch] + size)
        more = sum(room) + (len(rows) - 1) * (self.root - begin)
        if len(rows) == 1 or begin > longest or more > MOST_MORE * (len(self.ids) - begin):
            return None
        return np.array([row + [len(self.ids)] * left for row, left in zip(rows, room, strict=True)])
