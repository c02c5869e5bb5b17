"""Places in which texts grow side by side, one token in each at a time, whoever comes and goes between two steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmkit.runtimes import Ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Places:
    """Base of all kinds; used by one thread at a time.

    Attributes:
        most: How many texts are held at once.
        tokens: Positions of all of them together, as `cost` counts them.
        longest: Positions that one of them may have.
        taken: Keys of those that are written, in the order in which `step` takes and gives.
        reading: Keys of those whose prompts are not read to their end, the first that came first.
        step_tokens: Tokens that are best computed between two steps, the texts' own included: as many as keep what
            computes busy, and as few as the readers of other texts wait for.
    """

    most: int
    tokens: int
    longest: int
    taken: list[int]
    step_tokens: int = 256

    @property
    def reading(self) -> Sequence[int]:
        """Keys; see the class."""
        raise NotImplementedError

    def cost(self, lengths: Sequence[int]) -> int:
        """Return the positions that texts of such lengths take up, each with what is still to be written."""
        return sum(lengths)

    def begin(self, keys: Sequence[int], prompts: Sequence[Ids], lengths: Sequence[int]) -> None:
        """Give prompts free places; `read` reads them.

        Args:
            keys: What the texts are called from here on.
            prompts: None of them empty.
            lengths: What each will have in the end, at most.
        """
        raise NotImplementedError

    def read(self, budget: int) -> tuple[list[int], NDArray[np.float32]]:
        """Read on in prompts.

        Args:
            budget: Tokens at most; a prompt that is only read as a whole may have more.

        Returns:
            Keys of those that are read to their end, which are written from here on, and `[keys, vocabulary]` logits of
            the tokens behind them.
        """
        raise NotImplementedError

    def step(self, newest: Sequence[int]) -> NDArray[np.float32]:
        """Add a token to each text, in the order of `taken`, and return `[taken, vocabulary]` logits of the next."""
        raise NotImplementedError

    def leave(self, key: int) -> None:
        """Let go of a text, wherever it is; another may get its number in `taken`."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the memory back."""


def shares(left: Sequence[int], budget: int) -> list[int]:
    """Return how many tokens of each prompt are read now.

    Half of the budget is the first one's for sure; of the rest, those behind it that fit are read as a whole, so that a
    short prompt does not wait for the end of a long one. What is over then goes to the first ones again.

    Args:
        left: Tokens that each still has, at least one; the first came first.
        budget: Tokens in all.
    """
    found = [0] * len(left)
    rest = budget - min(left[0], -(-budget // 2))
    for number, size in enumerate(left[1:], 1):
        if size <= rest:
            found[number] = size
            rest -= size
    rest = budget - sum(found)
    for number, size in enumerate(left):
        more = min(size - found[number], rest)
        found[number] += more
        rest -= more
    return found


class Speller:
    """The text of tokens as they come; of a character that is not there as a whole, nothing yet."""

    def add(self, token: int) -> str:
        """Return what a token adds."""
        raise NotImplementedError

    def spelled(self, token: int) -> bytes:
        """Return the bytes that a token stands for, wherever it is; none of a special one."""
        raise NotImplementedError

    def rest(self) -> str:
        """Return what is still held back, at the end of a text."""
        return ""
