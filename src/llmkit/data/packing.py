"""Pack documents or rows into blocks of one context length, in an order that is a pure function of seed and epoch.

Resuming is therefore a seek: block `index` of epoch `epoch` is computed directly. With context length 4, BOS 1, EOS 2
and the documents [7 8 9] and [5], unshuffled, `StreamPacker` gives

    input_ids     1  7  8  9 |  2  1  5  2
    labels        7  8  9  2 |  .  5  2  .      (. is -100: no target across a document border)
    position_ids  0  1  2  3 |  0  0  1  2
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llmkit.core.errors import DataError

IGNORED = -100
"""Label of a position that predicts nothing; PyTorch's cross entropy skips it."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Blocks ready for a model that does not shift labels itself.

    Attributes:
        input_ids: `[num_blocks, context_length]` int64.
        labels: The same shape: `labels[b, t]` is the target of `input_ids[b, t]`, already shifted, or `IGNORED`.
        position_ids: The same shape; restarts at 0 with every document, with every block, and where padding starts.
        num_tokens: `[num_blocks]` int64: positions before the padding, which is always at the end.
    """

    input_ids: Ints
    labels: Ints
    position_ids: Ints
    num_tokens: Ints

    def slice(self, start: int, stop: int) -> Batch:
        """Return some of the blocks, as views."""
        return Batch(*(getattr(self, field.name)[start:stop] for field in fields(self)))


class Tokens(Protocol):
    """What `StreamPacker` reads; `llmkit.data.tokens.TokenSplit` is one."""

    offsets: Ints

    def gather(self, positions: Ints) -> Ints:
        """Return the ids at positions of the documents laid one after another, in the shape of `positions`."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """One epoch's virtual sequence: documents one after another, and the blocks cut out of it.

    Attributes:
        documents: `[num_documents]`: which document comes at each place; those without tokens are left out.
        starts: `[num_documents + 1]`: virtual position at which each starts, and the total length.
        block_starts: `[num_blocks + 1]`: virtual position at which each block starts, and the total length.
        block_order: `[num_blocks]`: which block is served at each index.
    """

    epoch: int
    documents: Ints
    starts: Ints
    block_starts: Ints
    block_order: Ints


class Packer(ABC):
    """Blocks of one source; keeps one epoch's layout, about 16 bytes per document and per block.

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
        self._cached: _Layout | None = None

    def num_blocks(self, epoch: int) -> int:
        """Return the number of blocks in an epoch, at least 1."""
        return self._layout(epoch).block_order.size

    def block(self, epoch: int, index: int) -> Batch:
        """Return one block as a batch of one."""
        return self.blocks(epoch, [index])

    def blocks(self, epoch: int, indices: ArrayLike) -> Batch:
        """Return blocks of an epoch in the order of `indices`, `[n]`.

        Raises:
            IndexError: An index is outside `0..num_blocks(epoch) - 1`.
        """
        layout = self._layout(epoch)
        chosen = np.asarray(indices, dtype=np.int64)
        if ((chosen < 0) | (chosen >= layout.block_order.size)).any():
            raise IndexError(f"blocks {chosen} of epoch {epoch}, which has {layout.block_order.size}")
        blocks = layout.block_order[chosen]
        begin, end = layout.block_starts[blocks], layout.block_starts[blocks + 1]
        # One position more than the inputs: the last input's target.
        virtual = begin[:, None] + np.arange(self.context_length + 1)
        place = np.searchsorted(layout.starts, virtual, side="right") - 1
        real = virtual[:, :-1] < end[:, None]
        input_ids, labels = self._read(layout, virtual, place)
        # Padding lies in the row that no longer fitted, or after the last document: there, too, positions restart.
        since = np.maximum(layout.starts[place[:, :-1]], begin[:, None])
        return Batch(
            input_ids=np.where(real, input_ids, self._pad_id),
            labels=np.where(real, labels, IGNORED),
            position_ids=virtual[:, :-1] - since,
            num_tokens=end - begin,
        )

    def _layout(self, epoch: int) -> _Layout:
        cached = self._cached
        if cached is None or cached.epoch != epoch:
            seeds = None if self.seed is None else np.random.SeedSequence([self.seed, epoch, self._source])
            # PCG64 by name: numpy may give its default generator another algorithm, and with it the data another order.
            generator = None if seeds is None else np.random.Generator(np.random.PCG64(seeds))
            self._cached = cached = self._lay_out(epoch, generator)
        return cached

    @abstractmethod
    def _lay_out(self, epoch: int, generator: np.random.Generator | None) -> _Layout: ...

    @abstractmethod
    def _read(self, layout: _Layout, virtual: Ints, place: Ints) -> tuple[Ints, Ints]:
        """Return the ids and labels of the inputs `virtual[:, :-1]`; anything will do after a block's end.

        Args:
            layout: The epoch.
            virtual: `[n, context_length + 1]` virtual positions.
            place: The same shape: index into `layout.documents`, or its length after the last document.
        """


class StreamPacker(Packer):
    """Mode `stream`: documents, each as prefix + tokens + suffix, laid one after another and cut every T positions.

    Every position is an input exactly once per epoch; only the epoch's last block has padding. Documents without tokens
    are left out. The order of documents and then the order of blocks is drawn from (seed, epoch, source).

    Args:
        tokens: The documents.
        context_length: Input positions T per block.
        prefix: Ids before every document, such as BOS.
        suffix: Ids after every document, such as EOS.
        seed, source, pad_id: See `Packer`.

    Raises:
        DataError: There are no tokens.
    """

    def __init__(
        self,
        tokens: Tokens,
        context_length: int,
        *,
        prefix: Sequence[int] = (),
        suffix: Sequence[int] = (),
        seed: int | None,
        source: int = 0,
        pad_id: int = 0,
    ) -> None:
        super().__init__(context_length, seed=seed, source=source, pad_id=pad_id)
        self._tokens = tokens
        self._prefix, self._suffix = np.asarray(prefix, np.int64), np.asarray(suffix, np.int64)
        self._num_specials = len(prefix) + len(suffix)
        lengths = np.diff(tokens.offsets)
        total = int(lengths.sum() + np.count_nonzero(lengths) * self._num_specials)
        if not total:
            raise DataError("there are no tokens to pack", "check the counts in the token artifact's tokens.json")
        self._num_blocks = -(-total // context_length)

    def num_blocks(self, epoch: int) -> int:  # noqa: ARG002 - part of the contract
        """Return the number of blocks, the same in every epoch."""
        return self._num_blocks

    def _lay_out(self, epoch: int, generator: np.random.Generator | None) -> _Layout:
        documents, starts = _arrange(np.diff(self._tokens.offsets), self._num_specials, generator)
        block_starts = np.minimum(np.arange(self._num_blocks + 1) * self.context_length, starts[-1])
        blocks = np.arange(self._num_blocks) if generator is None else generator.permutation(self._num_blocks)
        return _Layout(epoch, documents, starts, block_starts, blocks)

    def _read(self, layout: _Layout, virtual: Ints, place: Ints) -> tuple[Ints, Ints]:
        # After the last document `known` is still that document, and `offset` lies beyond its suffix.
        known = np.minimum(place, layout.documents.size - 1)
        offset = virtual - layout.starts[known] - self._prefix.size
        length = layout.starts[known + 1] - layout.starts[known] - self._num_specials
        ids = np.zeros(virtual.shape, np.int64)
        stored = (offset >= 0) & (offset < length)
        ids[stored] = self._tokens.gather(self._tokens.offsets[layout.documents[known[stored]]] + offset[stored])
        before = offset < 0
        ids[before] = self._prefix[offset[before]]  # counted from the prefix's end
        after = (offset >= length) & (virtual < layout.starts[-1])
        ids[after] = self._suffix[offset[after] - length[after]]
        return ids[:, :-1], np.where(place[:, 1:] == place[:, :-1], ids[:, 1:], IGNORED)


class RowPacker(Packer):
    """Mode `rows`: fine-tuning examples in memory, packed greedily in the epoch's order without cutting a row.

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

    def _lay_out(self, epoch: int, generator: np.random.Generator | None) -> _Layout:
        documents, starts = _arrange(self._lengths, 0, generator)
        first = [0]
        while first[-1] < documents.size:
            limit = starts[first[-1]] + self.context_length
            first.append(int(np.searchsorted(starts, limit, side="right")) - 1)
        return _Layout(epoch, documents, starts, starts[first], np.arange(len(first) - 1))

    def _read(self, layout: _Layout, virtual: Ints, place: Ints) -> tuple[Ints, Ints]:
        inside = np.minimum(virtual[:, :-1], layout.starts[-1] - 1)
        row = np.minimum(place[:, :-1], layout.documents.size - 1)
        flat = self._offsets[layout.documents[row]] + inside - layout.starts[row]
        return self._ids[flat].astype(np.int64), self._labels[flat].astype(np.int64)


def _arrange(lengths: Ints, num_specials: int, generator: np.random.Generator | None) -> tuple[Ints, Ints]:
    """Return the documents that have tokens, permuted, and their virtual starts followed by the total length."""
    documents = np.arange(lengths.size) if generator is None else generator.permutation(lengths.size)
    documents = documents[lengths[documents] > 0]
    return documents, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[documents] + num_specials)])
