"""Documents in memory, and what the tests of packing ask of a whole epoch."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
from hypothesis import strategies as st

from llmkit.data.packing import IGNORED

FIELDS = ["input_ids", "labels", "position_ids", "num_tokens", "numbers"]
"""Of every batch of tokens; pairs have `follows` besides."""

texts = st.lists(st.lists(st.integers(10, 99), max_size=12), min_size=1, max_size=8).filter(any)
specials = st.lists(st.integers(1, 9), max_size=2)
seeds = st.none() | st.integers(0, 5)


class InMemory:
    """Documents as packers read them; their ids are `d0`, `d1`, ... `starts` are the sentences' in each document."""

    def __init__(self, documents, starts=None):
        self.offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        self._flat = np.array([*chain(*documents)], dtype=np.int64)
        self._starts = starts or [[] for _ in documents]

    def gather(self, positions):
        return self._flat[positions]

    def ids(self, documents):
        return [f"d{index}" for index in documents.tolist()]

    def sentence_starts(self):
        moved = [offset + start for offset, starts in zip(self.offsets, self._starts, strict=False) for start in starts]
        return np.array(moved, dtype=np.int64)


def of_step(step, num_blocks):
    """The numbers of a step's blocks."""
    return range(step * num_blocks, (step + 1) * num_blocks)


def whole_epoch(packer, epoch=0):
    return packer.blocks(epoch, np.arange(packer.num_blocks(epoch)))


def assert_equal(left, right, *, but=()):
    assert left.columns.keys() == right.columns.keys()
    for name in (*left.columns, "numbers"):
        if name not in but:
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def real(batch):
    """Where there is no padding, `[num_blocks, context_length]`."""
    return np.arange(batch.input_ids.shape[1]) < batch.num_tokens[:, None]


def neighbours(batch):
    """All pairs of an input and its target, sorted."""
    kept = batch.labels != IGNORED
    return sorted(zip(batch.input_ids[kept].tolist(), batch.labels[kept].tolist(), strict=True))


def pieces(batch):
    """The ids of every piece, from one position 0 to the next, block by block."""
    found = []
    for ids, positions, num_tokens in zip(batch.input_ids, batch.position_ids, batch.num_tokens, strict=True):
        starts = [*np.flatnonzero(positions[:num_tokens] == 0), num_tokens]
        found.append([ids[start:end].tolist() for start, end in pairwise(starts)])
    return found
