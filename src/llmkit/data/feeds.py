"""Feeds: what a trainer reads, an endless stream of numbered blocks, and blocks that are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from llmkit.data.order import Blocks
from llmkit.data.packing import Batch
from llmkit.data.unread import Unread

if TYPE_CHECKING:
    from numpy.typing import NDArray

State = Mapping[str, "NDArray[Any]"]


class Stream(Protocol):
    """The endless stream of training blocks, numbered k = 0, 1, 2, ...: an `Order` or a `Mixture`."""

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return any blocks of the stream in the order asked for."""

    def epoch_of(self, k: int) -> float:
        """Return how many epochs the first k blocks are."""

    def blocks_in(self, epochs: float, most: int | None = None) -> int:
        """Return how many blocks so many epochs are; counting stops beyond `most`."""

    def documents(self, numbers: Sequence[int]) -> list[str]:
        """Return the ids of the documents that the blocks are of."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out blocks, in order: every target is scored exactly once.

    Attributes:
        source: The blocks, as its epoch 0.
        num_bytes: UTF-8 bytes that the targets stand for.
        unread: How many of them the tokenizer did not read.
    """

    source: Blocks
    num_bytes: int = 0
    unread: Unread = Unread()  # noqa: RUF009 - a tuple

    @property
    def num_blocks(self) -> int:
        """How many there are."""
        return self.source.num_blocks(0)

    def blocks(self, indices: Sequence[int]) -> Batch:
        """Return some of them."""
        return self.source.blocks(0, np.asarray(indices, np.int64))


class Feed:
    """What a trainer reads. Everything is a function of block numbers, so that resuming is a seek.

    A feed whose blocks are made by the model as training goes (rollouts) derives from this: before every step the loop
    has each process `generate` its own share of the step's blocks, `add`s what all of them made, and keeps `state` in
    the checkpoints.

    Args:
        stream: The training blocks.
        held_out: Blocks to validate on.
        block_tokens: Tokens of a block: its width or, where blocks differ in width, their mean.
        same_width: All blocks have that width.
    """

    generates: bool = False
    """Whether blocks are made by the model; then `generate`, `add`, `state` and `restore` are called."""

    def __init__(
        self, stream: Stream, held_out: HeldOut | None = None, *, block_tokens: float = 1, same_width: bool = True
    ) -> None:
        self.stream, self._held_out = stream, held_out
        self.block_tokens, self.same_width = block_tokens, same_width

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return any blocks of the stream in the order asked for."""
        return self.stream.batch(numbers)

    def epoch_of(self, k: int) -> float:
        """Return how many epochs the first k blocks are."""
        return self.stream.epoch_of(k)

    def blocks_in(self, epochs: float, most: int | None = None) -> int:
        """Return how many blocks so many epochs are; counting stops beyond `most`."""
        return self.stream.blocks_in(epochs, most)

    def documents(self, numbers: Sequence[int]) -> list[str]:
        """Return the ids of the documents that the blocks are of."""
        return self.stream.documents(numbers)

    def held_out(self) -> HeldOut | None:
        """Return the blocks to validate on, if there are any."""
        return self._held_out

    def micro_blocks(self, batch: Batch, tokens: int) -> int:
        """Return how many blocks of a batch one forward pass of at most so many tokens, padding included, takes."""
        width = self.block_tokens if self.same_width else _width(batch)
        return max(1, int(tokens // max(width, 1)))

    def generate(self, models: Any, numbers: Sequence[int]) -> Any:
        """Return what the model makes of some blocks, picklable; whatever is random is drawn from their numbers."""
        raise NotImplementedError

    def add(self, made: Sequence[Any]) -> None:
        """Take in what all processes made of the next step's blocks, in the order of the blocks."""
        raise NotImplementedError

    def state(self) -> State:
        """Return what was generated, so that a resumed run has it."""
        return {}

    def restore(self, state: State) -> None:
        """Take back what `state` returned."""


def _width(batch: Batch) -> int:
    """Return the positions of a block: those of its sequences of ids, padding included, one after another."""
    return sum(column.shape[1] for name, column in batch.columns.items() if name.endswith("input_ids"))
