"""Base of the packers: an epoch is a sequence of pieces of documents, and a block is a run of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from llmkit.data.packing.batch import IGNORED, Batch, Ints
from llmkit.data.randomness import generator


@dataclass(frozen=True, slots=True)
class Layout:
    """One epoch's virtual sequence: pieces of documents one after another, and the blocks cut out of it.

    Attributes:
        documents: `[num_pieces]`: which document comes at each place; those without tokens are left out.
        skips: `[num_pieces]`: how many of the document's positions, what is put around it included, lie before the
            piece.
        starts: `[num_pieces + 1]`: virtual position at which each starts, and the total length.
        block_starts: `[num_blocks + 1]`: virtual position at which each block starts, and the total length.
        block_order: `[num_blocks]`: which block is served at each index.
        follows: `[num_blocks]`, of pairs: see `Batch`.
    """

    documents: Ints
    skips: Ints
    starts: Ints
    block_starts: Ints
    block_order: Ints
    follows: Ints | None = None


@dataclass(frozen=True, slots=True)
class Stretches:
    """The parts of documents that some blocks consist of, in the order of their positions.

    Attributes:
        documents: `[n]`: the document of each.
        offsets: `[n]`: first position in the document, what is put around it included.
        sizes: `[n]`: how many positions, at least 1.
    """

    documents: Ints
    offsets: Ints
    sizes: Ints


class Packer(ABC):
    """Blocks of one source; keeps one epoch's layout, 16 to 40 bytes per document, piece and block.

    Args:
        context_length: Input positions per block.
        seed: Seed of the order, not negative; None keeps the given order, for scoring every token exactly once.
        source: Index of the source in the mixture: sources of one run are shuffled independently.
        pad_id: Token id that fills up a block.
    """

    def __init__(self, context_length: int, *, seed: int | None, source: int = 0, pad_id: int = 0) -> None:
        self.context_length = context_length
        self.seed = seed
        self._source = source
        self._pad_id = pad_id
        self._cached: tuple[int, Layout] | None = None

    def num_blocks(self, epoch: int) -> int:
        """Return the number of blocks in an epoch, at least 1."""
        return self._layout(epoch).block_order.size

    def padding_share(self, epoch: int) -> float:
        """Return the share of an epoch's positions that is padding."""
        layout = self._layout(epoch)
        return 1.0 - float(layout.starts[-1]) / (layout.block_order.size * self.context_length)

    def documents(self, epoch: int, indices: ArrayLike) -> Ints:
        """Return which documents (or rows) the blocks hold, ascending, each once."""
        return np.unique(self._stretches(self._layout(epoch), *self._borders(epoch, indices)[1:]).documents)

    def names(self, documents: Ints) -> list[str]:
        """Return what people find the documents (or rows) by."""
        return [f"row {index}" for index in documents.tolist()]

    def block(self, epoch: int, index: int) -> Batch:
        """Return one block as a batch of one."""
        return self.blocks(epoch, [index])

    def blocks(self, epoch: int, indices: ArrayLike) -> Batch:
        """Return blocks of an epoch in the order of `indices`, `[n]`.

        Raises:
            IndexError: An index is outside `0..num_blocks(epoch) - 1`.
        """
        layout = self._layout(epoch)
        blocks, begin, end = self._borders(epoch, indices)
        stretches = self._stretches(layout, begin, end)
        found_ids, found_labels = self._read(stretches)
        shape, num_tokens = (blocks.size, self.context_length), end - begin
        real = np.arange(self.context_length) < num_tokens[:, None]
        input_ids, labels = np.full(shape, self._pad_id, np.int64), np.full(shape, IGNORED, np.int64)
        position_ids = np.arange(self.context_length) - num_tokens[:, None]
        input_ids[real], labels[real] = found_ids, found_labels
        position_ids[real] = ranges(np.zeros_like(stretches.sizes), stretches.sizes)
        columns = {"input_ids": input_ids, "labels": labels, "position_ids": position_ids, "num_tokens": num_tokens}
        if layout.follows is not None:
            columns["follows"] = layout.follows[blocks]
        return Batch(numbers=np.array(indices, dtype=np.int64), pads={}, **columns)

    def _borders(self, epoch: int, indices: ArrayLike) -> tuple[Ints, Ints, Ints]:
        """Return the blocks at the indices, and the virtual positions at which they begin and end."""
        layout = self._layout(epoch)
        chosen = np.asarray(indices, dtype=np.int64)
        if ((chosen < 0) | (chosen >= layout.block_order.size)).any():
            raise IndexError(f"blocks {chosen} of epoch {epoch}, which has {layout.block_order.size}")
        blocks = layout.block_order[chosen]
        return blocks, layout.block_starts[blocks], layout.block_starts[blocks + 1]

    def _stretches(self, layout: Layout, begin: Ints, end: Ints) -> Stretches:
        first = np.searchsorted(layout.starts, begin, side="right") - 1
        count = np.searchsorted(layout.starts, end, side="left") - first
        pieces = ranges(first, count)
        start = np.maximum(layout.starts[pieces], np.repeat(begin, count))
        stop = np.minimum(layout.starts[pieces + 1], np.repeat(end, count))
        offsets = layout.skips[pieces] + start - layout.starts[pieces]
        return Stretches(layout.documents[pieces], offsets, stop - start)

    def _layout(self, epoch: int) -> Layout:
        if self._cached is None or self._cached[0] != epoch:
            self._cached = None  # first: two layouts at once would be the peak of what a packer takes
            draw = None if self.seed is None else generator(self.seed, epoch, self._source)
            self._cached = epoch, self._lay_out(draw)
        return self._cached[1]

    @abstractmethod
    def _lay_out(self, draw: np.random.Generator | None) -> Layout: ...

    @abstractmethod
    def _read(self, stretches: Stretches) -> tuple[Ints, Ints]:
        """Return the ids and labels of all positions of the stretches, `[sum of sizes]`."""


def ranges(first: Ints, sizes: Ints) -> Ints:
    """Return `first[i], first[i] + 1, ...`, `sizes[i]` numbers of each, one range after another."""
    ends = np.cumsum(sizes)
    return np.repeat(first - (ends - sizes), sizes) + np.arange(ends[-1] if ends.size else 0)


def cumulative(sizes: Ints) -> Ints:
    """Return where each of the sizes starts, and their sum."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
