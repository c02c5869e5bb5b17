"""Mode `rows`: fine-tuning examples in memory, packed without cutting a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from llmkit.core.errors import DataError
from llmkit.data.packing.batch import Ints
from llmkit.data.packing.packer import Layout, Packer, Stretches, cumulative, ranges


class RowPacker(Packer):
    """Rows packed greedily in the epoch's order.

    Labels are copied as they are: like `Batch.labels`, a row's `labels[t]` is the target of its `input_ids[t]`. Rows
    without tokens are left out. The number of blocks differs from epoch to epoch.

    Args:
        rows: Pairs (input_ids, labels) of equal length, at most `context_length`.
        context_length: Input positions per block.
        seed, source, pad_id: See `Packer`.

    Raises:
        DataError: There are no rows with tokens, or one is longer than a block.
    """

    def __init__(
        self,
        rows: Sequence[tuple[ArrayLike, ArrayLike]],
        context_length: int,
        *,
        seed: int | None,
        source: int = 0,
        pad_id: int = 0,
    ) -> None:
        super().__init__(context_length, seed=seed, source=source, pad_id=pad_id)
        # int32 halves what the rows take for the whole run; a batch is widened when it is read.
        ids = [np.asarray(row[0], dtype=np.int32) for row in rows]
        labels = [np.asarray(row[1], dtype=np.int32) for row in rows]
        self._lengths = np.array([row.size for row in ids], dtype=np.int64)
        if not self._lengths.sum():
            raise DataError("there are no rows with tokens to pack", "check the report of the data's stage")
        if any(row.size != targets.size for row, targets in zip(ids, labels, strict=True)):
            raise ValueError("a row's input_ids and labels differ in length")
        longest = int(self._lengths.argmax())
        if self._lengths[longest] > context_length:
            raise DataError(
                f"row {longest} has {self._lengths[longest]:,} tokens, but context_length is {context_length:,}",
                f"make room for it: --set context_length={self._lengths[longest]}",
            )
        self._ids, self._labels = np.concatenate(ids), np.concatenate(labels)
        self._offsets = np.cumsum(self._lengths) - self._lengths

    def _lay_out(self, draw: np.random.Generator | None) -> Layout:
        size = self._lengths.size
        rows = np.arange(size) if draw is None else draw.permutation(size)
        rows = rows[self._lengths[rows] > 0]
        starts = cumulative(self._lengths[rows])
        first = [0]
        while first[-1] < rows.size:
            limit = starts[first[-1]] + self.context_length
            first.append(int(np.searchsorted(starts, limit, side="right")) - 1)
        return Layout(rows, np.zeros_like(rows), starts, starts[first], np.arange(len(first) - 1))

    def _read(self, stretches: Stretches) -> tuple[Ints, Ints]:
        flat = ranges(self._offsets[stretches.documents] + stretches.offsets, stretches.sizes)
        return self._ids[flat].astype(np.int64), self._labels[flat].astype(np.int64)
