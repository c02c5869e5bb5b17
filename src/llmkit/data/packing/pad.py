"""Mode `pad`: one document, or piece of at most T positions, per block; for encoders and short texts."""

from __future__ import annotations

import numpy as np

from llmkit.data.packing.documents import DocumentPacker
from llmkit.data.packing.packer import Layout, cumulative


class PadPacker(DocumentPacker):
    """One document per block, padded at the end; a longer one is cut into pieces of T positions and a rest.

    Every position is an input exactly once per epoch. The order of blocks is drawn from (seed, epoch, source).
    """

    _count: int | None = None

    def num_blocks(self, epoch: int) -> int:  # noqa: ARG002 - part of the contract
        """Return the number of blocks, the same in every epoch."""
        if self._count is None:
            self._count = int((-(-self._lengths() // self.context_length)).sum())
        return self._count

    def _lay_out(self, draw: np.random.Generator | None) -> Layout:
        documents, skips, sizes = self._pieces()
        starts = cumulative(sizes)
        blocks = np.arange(sizes.size) if draw is None else draw.permutation(sizes.size)
        return Layout(documents, skips, starts, starts, blocks)
