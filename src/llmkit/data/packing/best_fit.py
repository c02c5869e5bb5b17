"""Mode `best_fit`: whole documents in as few blocks as possible (Ding et al. 2024, "Fewer Truncations ...")."""

from __future__ import annotations

import numpy as np

from llmkit.data.packing.batch import Ints
from llmkit.data.packing.documents import DocumentPacker
from llmkit.data.packing.packer import Layout, cumulative


class BestFitPacker(DocumentPacker):
    """Documents packed best-fit-decreasing; one longer than a block is cut into pieces of T positions and a rest.

    Every position is an input exactly once per epoch. What a document is packed with depends on lengths alone, so the
    number of blocks is the same in every epoch; which of the documents of a length goes where, their order in a block
    and the order of blocks are drawn from (seed, epoch, source).
    """

    _count: int | None = None

    def num_blocks(self, epoch: int) -> int:
        """Return the number of blocks, the same in every epoch."""
        if self._count is None:
            self._count = super().num_blocks(epoch)
        return self._count

    def _lay_out(self, draw: np.random.Generator | None) -> Layout:
        documents, skips, sizes = self._pieces()
        order = np.arange(sizes.size) if draw is None else draw.permutation(sizes.size)
        blocks, num_blocks = best_fit(sizes[order], self.context_length)
        order = order[np.argsort(blocks, kind="stable")]
        starts = cumulative(sizes[order])
        first = cumulative(np.bincount(blocks, minlength=num_blocks))
        block_order = np.arange(num_blocks) if draw is None else draw.permutation(num_blocks)
        return Layout(documents[order], skips[order], starts, starts[first], block_order)


def best_fit(sizes: Ints, capacity: int) -> tuple[Ints, int]:
    """Pack best-fit-decreasing: the largest first, each into the fullest block that has room for it.

    Pieces of one size are placed together, so the cost is that of a sort and of as many steps as there are different
    pairs of size and room.

    Args:
        sizes: `[n]`, each in 1..capacity.
        capacity: Positions in a block.

    Returns:
        The block of each piece, `[n]`, and the number of blocks.
    """
    order = np.argsort(-sizes, kind="stable")
    lengths, counts = np.unique(sizes, return_counts=True)
    rooms = Rooms(capacity)
    placed = [rooms.place(int(length), int(count)) for length, count in zip(lengths[::-1], counts[::-1], strict=True)]
    blocks = np.empty(sizes.size, np.int64)
    blocks[order] = np.concatenate(placed)
    return blocks, rooms.num_blocks


class Rooms:
    """The blocks opened so far, by the room left in them."""

    def __init__(self, capacity: int) -> None:
        self.num_blocks = 0
        self._capacity = capacity
        self._by_room: dict[int, list[Ints]] = {}

    def place(self, length: int, count: int) -> Ints:
        """Return the blocks, `[count]`, into which best fit puts as many pieces of a length, one by one."""
        placed: list[Ints] = []
        fitting = sorted(room for room in self._by_room if room >= length)
        for room in fitting:
            blocks = np.concatenate(self._by_room.pop(room))
            count -= self._fill(blocks, room, length, count, placed)
            if not count:
                break
        else:
            needed = -(-count // (self._capacity // length))
            opened = np.arange(self.num_blocks, self.num_blocks + needed)
            self.num_blocks += needed
            self._fill(opened, self._capacity, length, count, placed)
        return np.concatenate(placed)

    def _fill(self, blocks: Ints, room: int, length: int, count: int, placed: list[Ints]) -> int:
        """Put up to `count` pieces into blocks of equal room, one block full before the next; return how many."""
        each = room // length
        full = min(blocks.size, count // each)
        rest = count - full * each if full < blocks.size else 0
        placed.append(np.repeat(blocks[:full], each))
        self._keep(blocks[:full], room - each * length)
        if rest:
            placed.append(np.repeat(blocks[full : full + 1], rest))
            self._keep(blocks[full : full + 1], room - rest * length)
        self._keep(blocks[full + bool(rest) :], room)
        return full * each + rest

    def _keep(self, blocks: Ints, room: int) -> None:
        if blocks.size and room:
            self._by_room.setdefault(room, []).append(blocks)
