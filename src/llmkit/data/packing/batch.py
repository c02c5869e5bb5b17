"""A batch of blocks: what packers give and objectives collate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""Label of a position that predicts nothing; PyTorch's cross entropy skips it."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Blocks ready for a model that does not shift labels itself; all arrays are int64.

    Attributes:
        input_ids: `[num_blocks, context_length]`.
        labels: The same shape: `labels[b, t]` is the target of `input_ids[b, t]`, already shifted, or `IGNORED`.
        position_ids: The same shape; restarts at 0 with every document or piece of one, with every block, and where
            padding starts.
        num_tokens: `[num_blocks]`: positions before the padding, which is always at the end.
        numbers: `[num_blocks]`: the block's number in the run's endless stream; a packer, which knows one epoch only,
            gives the index in it. Whatever is random about a block is drawn from this number, so that it depends
            neither on the micro-batch nor on the rank.
        follows: `[num_blocks]`: 0 where the second part of a pair comes from another document, else 1.
    """

    input_ids: Ints
    labels: Ints
    position_ids: Ints
    num_tokens: Ints
    numbers: Ints
    follows: Ints

    def slice(self, start: int, stop: int) -> Batch:
        """Return some of the blocks, as views."""
        return Batch(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    def take(self, rows: Ints) -> Batch:
        """Return the blocks `rows`, `[n]`, in that order, as copies."""
        return Batch(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def join(batches: Sequence[Batch]) -> Batch:
        """Return the blocks of several batches of one context length, one after another."""
        if len(batches) == 1:
            return batches[0]
        return Batch(*(np.concatenate([getattr(batch, field.name) for batch in batches]) for field in fields(Batch)))
