"""Modes `pad` and `bucket`: one encoded row a block, padded to the longest of its batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from llmkit.core.errors import DataError
from llmkit.data.packing.batch import Batch, Ints
from llmkit.data.packing.encoded import EncodedRows
from llmkit.data.randomness import generator

MEGABATCH = 50
"""Batches whose rows are sorted by length together: enough for little padding, few enough for batches that differ."""


class RowBuckets:
    """Blocks of one row each, in an order that is a pure function of seed and epoch.

    A batch has the rows' columns, `NAME_length` beside each ragged one, and `num_tokens`, all `[num_blocks, ...]`;
    ragged columns are as wide as the longest row asked for.

    With `batch_blocks` the rows of one batch are alike in length: rows are shuffled, sorted by length within stretches
    of `MEGABATCH` batches, and these batches are shuffled. Batches are counted through all epochs, so the borders hold
    where an epoch does not end with a batch, too.

    Args:
        rows: The rows.
        seed: Seed of the order, not negative; None takes the longest first, for scoring every row exactly once.
        batch_blocks: Blocks per batch; None shuffles rows whatever their length.
        positions: Give `position_ids` as well, as packers of blocks do.

    Raises:
        DataError: There are no rows.
    """

    def __init__(
        self, rows: EncodedRows, *, seed: int | None, batch_blocks: int | None = None, positions: bool = False
    ) -> None:
        if not len(rows):
            raise DataError("there are no rows to train on", "check the report of the data's stage")
        self.rows, self.seed, self.batch_blocks = rows, seed, batch_blocks
        self.positions = positions
        self._cached: tuple[int, Ints] | None = None

    def num_blocks(self, epoch: int) -> int:  # noqa: ARG002 - part of the contract
        """Return the number of blocks, the same in every epoch."""
        return len(self.rows)

    def blocks(self, epoch: int, indices: ArrayLike) -> Batch:
        """Return blocks of an epoch in the order of `indices`, `[n]`."""
        chosen = np.asarray(indices, np.int64)
        rows = self._order(epoch)[chosen]
        columns = {"num_tokens": self.rows.num_tokens[rows], **self.rows.padded(rows)}
        if self.positions:
            width = columns["input_ids"].shape[1]
            columns["position_ids"] = np.tile(np.arange(width), (rows.size, 1))
            return Batch(numbers=chosen, pads={**self.rows.pads, "position_ids": 0}, **columns)
        return Batch(numbers=chosen, pads=self.rows.pads, **columns)

    def documents(self, epoch: int, indices: ArrayLike) -> Ints:
        """Return which rows the blocks are."""
        return self._order(epoch)[np.asarray(indices, np.int64)]

    def names(self, documents: Ints) -> list[str]:
        """Return where the rows stand in the data."""
        return [f"row {position}" for position in self.rows.positions[documents].tolist()]

    def padding_share(self, epoch: int, batch_blocks: int) -> float:
        """Return the share of an epoch's positions that is padding, in batches of so many blocks."""
        tokens = self.rows.num_tokens[self._order(epoch)]
        batches = np.split(tokens, range(batch_blocks, tokens.size, batch_blocks))
        return 1.0 - float(tokens.sum()) / sum(int(batch.max()) * batch.size for batch in batches)

    def _order(self, epoch: int) -> Ints:
        if self._cached is None or self._cached[0] != epoch:
            self._cached = epoch, self._lay_out(epoch)
        return self._cached[1]

    def _lay_out(self, epoch: int) -> Ints:
        size = len(self.rows)
        if self.seed is None:
            return np.argsort(-self.rows.num_tokens, kind="stable")
        draw = generator(self.seed, epoch, 0)
        order = draw.permutation(size)
        if self.batch_blocks is None:
            return order
        tokens = self.rows.num_tokens
        first = -(epoch * size) % self.batch_blocks  # rows of the batch that the epoch before began
        whole = first + (size - first) // self.batch_blocks * self.batch_blocks
        begun, middle, rest = np.split(order, [min(first, size), max(whole, min(first, size))])
        stretch = MEGABATCH * self.batch_blocks
        parts = [
            part[np.argsort(-tokens[part], kind="stable")]
            for part in np.split(middle, range(stretch, middle.size, stretch))
        ]
        batches = np.concatenate(parts).reshape(-1, self.batch_blocks)
        return np.concatenate([begun, draw.permutation(batches).ravel(), rest])
