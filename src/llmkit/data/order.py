"""The endless stream of a run's blocks: which block comes k-th is computed, never replayed."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from llmkit.data.packing import Batch, Ints


class Blocks(Protocol):
    """Blocks of one source, epoch by epoch: a `Packer`, or `RowBuckets`."""

    def num_blocks(self, epoch: int) -> int:
        """Return the number of blocks in an epoch, at least 1."""

    def blocks(self, epoch: int, indices: ArrayLike) -> Batch:
        """Return blocks of an epoch in the order of `indices`, `[n]`."""

    def documents(self, epoch: int, indices: ArrayLike) -> Ints:
        """Return which documents, or rows, the blocks hold."""

    def names(self, documents: Ints) -> list[str]:
        """Return what people find the documents by."""


class Order:
    """The endless stream of one packer's blocks, epoch after epoch, numbered k = 0, 1, 2, ...

    Args:
        packer: The packer; an epoch's number of blocks is asked for once, when the stream reaches it.
    """

    def __init__(self, packer: Blocks) -> None:
        self.packer = packer
        self._ends: list[int] = []

    def locate(self, k: int) -> tuple[int, int]:
        """Return (epoch, index in the epoch) of block number k."""
        while not self._ends or self._ends[-1] <= k:
            done = self._ends[-1] if self._ends else 0
            self._ends.append(done + self.packer.num_blocks(len(self._ends)))
        epoch = bisect_right(self._ends, k)
        return epoch, k - (self._ends[epoch - 1] if epoch else 0)

    def epoch_of(self, k: int) -> float:
        """Return how many epochs the first k blocks are."""
        epoch, index = self.locate(k)
        return epoch + index / (self._ends[epoch] - (k - index))

    def blocks_in(self, epochs: float, most: int | None = None) -> int:
        """Return how many blocks the first `epochs` epochs are, rounded up; counting stops beyond `most`."""
        whole, done = int(epochs), 0
        for epoch in range(whole):
            done += self.packer.num_blocks(epoch)
            if most is not None and done >= most:
                return done
        # Rounded first: 1.1 - 1 is a little more than 0.1, which must not cost a block.
        return done + math.ceil(round((epochs - whole) * self.packer.num_blocks(whole), 6))

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return any blocks of the stream in the order asked for: a step's, one rank's share, one source's part."""
        asked = np.asarray(numbers, dtype=np.int64)
        epochs, indices = self._located(asked)
        # Ascending, so that an epoch's layout is computed once; almost every batch lies in one epoch.
        parts = [self.packer.blocks(int(epoch), indices[epochs == epoch]) for epoch in np.unique(epochs)]
        joined = Batch.join(parts or [self.packer.blocks(0, [])])
        if len(parts) > 1:
            joined = joined.take(np.argsort(np.argsort(epochs, kind="stable")))
        return joined.replace(numbers=asked)

    def documents(self, numbers: Sequence[int]) -> list[str]:
        """Return the ids of the documents that the blocks are of, each once per epoch."""
        epochs, indices = self._located(np.asarray(numbers, dtype=np.int64))
        found = [self.packer.documents(int(epoch), indices[epochs == epoch]) for epoch in np.unique(epochs)]
        return [name for documents in found for name in self.packer.names(documents)]

    def _located(self, numbers: Ints) -> tuple[Ints, Ints]:
        located = np.array([self.locate(k) for k in numbers.tolist()], dtype=np.int64).reshape(-1, 2)
        return located[:, 0], located[:, 1]
