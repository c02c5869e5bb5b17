"""Mode `rows`: encoded rows, packed into blocks without cutting one."""

from __future__ import annotations

import numpy as np

from llmkit.core.errors import DataError
from llmkit.data.packing.batch import Ints
from llmkit.data.packing.encoded import EncodedRows
from llmkit.data.packing.packer import Layout, Packer, Stretches, cumulative


class RowPacker(Packer):
    """Rows packed greedily in the epoch's order.

    Labels are copied as they are: like those of a batch, a row's `labels[t]` is the target of its `input_ids[t]`. Rows
    without tokens are left out. The number of blocks differs from epoch to epoch.

    Args:
        rows: Rows with the columns `input_ids` and `labels`, of equal length, at most `context_length`.
        context_length: Input positions per block.
        seed, source, pad_id: See `Packer`.

    Raises:
        DataError: There are no rows with tokens, or one is longer than a block.
    """

    def __init__(
        self,
        rows: EncodedRows,
        context_length: int,
        *,
        seed: int | None,
        source: int = 0,
        pad_id: int = 0,
    ) -> None:
        super().__init__(context_length, seed=seed, source=source, pad_id=pad_id)
        self._rows, self._lengths = rows, rows.lengths("input_ids")
        if not self._lengths.sum():
            raise DataError("there are no rows with tokens to pack", "check the report of the data's stage")
        if (self._lengths != rows.lengths("labels")).any():
            raise ValueError("a row's input_ids and labels differ in length")
        longest = int(self._lengths.argmax())
        if self._lengths[longest] > context_length:
            raise DataError(
                f"row {rows.positions[longest]} has {self._lengths[longest]:,} tokens, but context_length is"
                f" {context_length:,}",
                f"make room for it: --set context_length={self._lengths[longest]}",
            )

    def names(self, documents: Ints) -> list[str]:
        """Return where the rows stand in the data."""
        return [f"row {position}" for position in self._rows.positions[documents].tolist()]

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
        where = (stretches.documents, stretches.offsets, stretches.sizes)
        ids, labels = (self._rows.flat(name, *where) for name in ("input_ids", "labels"))
        return ids.astype(np.int64), labels.astype(np.int64)
