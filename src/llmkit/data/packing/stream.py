"""Mode `stream`: documents one after another, cut every T positions (Brown et al. 2020, "GPT-3", appendix B)."""

from __future__ import annotations

import numpy as np

from llmkit.data.packing.documents import DocumentPacker
from llmkit.data.packing.packer import Layout, cumulative


class StreamPacker(DocumentPacker):
    """Documents, each as prefix + tokens + suffix, laid one after another and cut every T positions.

    Every position is an input exactly once per epoch; only the epoch's last block has padding. The order of documents
    and then the order of blocks is drawn from (seed, epoch, source).
    """

    _count: int | None = None

    def num_blocks(self, epoch: int) -> int:  # noqa: ARG002 - part of the contract
        """Return the number of blocks, the same in every epoch."""
        if self._count is None:
            self._count = -(-int(self._lengths().sum()) // self.context_length)
        return self._count

    def _lay_out(self, draw: np.random.Generator | None) -> Layout:
        lengths = self._lengths()
        documents = np.arange(lengths.size) if draw is None else draw.permutation(lengths.size)
        documents = documents[lengths[documents] > 0]
        starts = cumulative(lengths[documents])
        num_blocks = -(-int(starts[-1]) // self.context_length)
        block_starts = np.minimum(np.arange(num_blocks + 1) * self.context_length, starts[-1])
        blocks = np.arange(num_blocks) if draw is None else draw.permutation(num_blocks)
        return Layout(documents, np.broadcast_to(np.int64(0), documents.shape), starts, block_starts, blocks)
