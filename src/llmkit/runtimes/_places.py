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
        taken: Keys of those that are held, in the order in which `step` takes and gives.
    """

    most: int
    tokens: int
    longest: int
    taken: list[int]

    def cost(self, lengths: Sequence[int]) -> int:
        """Return the positions that texts of such lengths take up, each with what is still to be written."""
        return sum(lengths)

    def begin(self, keys: Sequence[int], prompts: Sequence[Ids], lengths: Sequence[int]) -> NDArray[np.float32]:
        """Read prompts into free places.

        Args:
            keys: What the texts are called from here on.
            prompts: None of them empty.
            lengths: What each will have in the end, at most.

        Returns:
            `[prompts, vocabulary]` logits of the tokens behind them.
        """
        raise NotImplementedError

    def step(self, newest: Sequence[int]) -> NDArray[np.float32]:
        """Add a token to each text, in the order of `taken`, and return `[taken, vocabulary]` logits of the next."""
        raise NotImplementedError

    def leave(self, key: int) -> None:
        """Let go of a text; another may get its number in `taken`."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the memory back."""


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
