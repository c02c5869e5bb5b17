"""Family "tokenizer": where a tokenizer comes from, trained on the corpus or taken as it is, one module each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llmkit.core.registry import Part

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.console import Console


class TrainingText(NamedTuple):
    """One document of the train split, in the order of the corpus."""

    text: str
    source: str
    language: str


Texts = Callable[[], Iterator[TrainingText]]
"""Starts one pass over the training text; a trainer may need several."""


class Specials(NamedTuple):
    """The special tokens of a tokenizer: by their roles (`bos`, `eos`, `pad`, `mask`, ...), and all of them."""

    roles: Mapping[str, str]
    tokens: tuple[str, ...]


class TokenizerPart(Part):
    """Where a tokenizer comes from."""

    def needs_text(self) -> bool:
        """Say whether `make` reads the training text."""
        return True

    def known_size(self) -> int | None:
        """Return how many tokens it will have at most, where that is known before it is made."""
        return None

    def specials(self) -> Specials | None:
        """Return the special tokens that it will have, where they are known before it is made."""
        return None

    def reads(self) -> list[Path]:
        """Return the directories and files that the tokenizer is made of; their digests are part of the identity."""
        return []

    def make(self, texts: Texts, console: Console) -> PreTrainedTokenizerFast:
        """Return the tokenizer, ready to encode and to save.

        Args:
            texts: The training text.
            console: Where to say what is going on.
        """
        raise NotImplementedError

    def notes(self, tokenizer: PreTrainedTokenizerFast) -> list[str]:  # noqa: ARG002 - for those that have some
        """Return sentences about the tokenizer made, for the end of the run."""
        return []
