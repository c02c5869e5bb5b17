"""A batch of blocks: what feeds give and objectives collate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

IGNORED = -100
"""Label of a position that predicts nothing; PyTorch's cross entropy skips it."""

Ints = NDArray[np.int64]


class Batch:
    """Named columns with one entry per block, and the blocks' numbers; a column is read as an attribute.

    Which columns there are is up to who makes them and who reads them. Packers of tokens give, all int64:

    * `input_ids`, `[num_blocks, context_length]`.
    * `labels`, the same shape: `labels[b, t]` is the target of `input_ids[b, t]`, already shifted, or `IGNORED`.
    * `position_ids`, the same shape; restarts at 0 with every document or piece of one, with every block, and where
      padding starts.
    * `num_tokens`, `[num_blocks]`: positions before the padding, which is always at the end.
    * `follows`, `[num_blocks]`, where blocks are pairs: 0 where the second part comes from another document, else 1.

    Args:
        numbers: `[num_blocks]`: the block's number in the run's endless stream; a packer, which knows one epoch only,
            gives the index in it. Whatever is random about a block is drawn from this number, so that it depends
            neither on the micro-batch nor on the rank.
        pads: What columns that are as wide as the longest of the blocks are filled up with, by name.
        columns: `[num_blocks, ...]` each.
    """

    __slots__ = ("columns", "numbers", "pads")

    columns: Mapping[str, NDArray[Any]]
    numbers: Ints
    pads: Mapping[str, float]

    def __init__(self, *, numbers: Ints, pads: Mapping[str, float] | None = None, **columns: NDArray[Any]) -> None:
        self.numbers, self.pads, self.columns = numbers, pads or {}, columns

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name in Batch.__slots__ or name.startswith("__"):  # asked for while it is copied, before it has any
            raise AttributeError(name)
        try:
            return self.columns[name]
        except KeyError:
            raise AttributeError(f"the batch has no column '{name}', only {', '.join(self.columns)}") from None

    def __len__(self) -> int:
        return len(self.numbers)

    def slice(self, start: int, stop: int) -> Batch:
        """Return some of the blocks, as views."""
        columns = {name: column[start:stop] for name, column in self.columns.items()}
        return Batch(numbers=self.numbers[start:stop], pads=self.pads, **columns)

    def take(self, rows: ArrayLike) -> Batch:
        """Return the blocks `rows`, `[n]`, in that order, as copies."""
        chosen = np.asarray(rows, np.int64)
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return Batch(numbers=self.numbers[chosen], pads=self.pads, **columns)

    def replace(self, *, numbers: Ints | None = None, **columns: NDArray[Any]) -> Batch:
        """Return the batch with other numbers, or with columns in the place of those of their names."""
        chosen = self.numbers if numbers is None else numbers
        return Batch(numbers=chosen, pads=self.pads, **{**self.columns, **columns})

    @staticmethod
    def join(batches: Sequence[Batch]) -> Batch:
        """Return the blocks of several batches of the same columns, one after another; the narrower ones filled up."""
        if len(batches) == 1:
            return batches[0]
        pads = batches[0].pads
        columns = {}
        for name in batches[0].columns:
            parts = [batch.columns[name] for batch in batches]
            if name in pads:
                width = max(part.shape[1] for part in parts)
                parts = [_widened(part, width, pads[name]) for part in parts]
            columns[name] = np.concatenate(parts)
        return Batch(numbers=np.concatenate([batch.numbers for batch in batches]), pads=pads, **columns)


def _widened(column: NDArray[Any], width: int, pad: float) -> NDArray[Any]:
    return np.pad(column, ((0, 0), (0, width - column.shape[1])), constant_values=pad)
