"""Encode what chat templates write, special tokens among the text, with gigatoken where it finds the same ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from llmkit.modeling.fast import PROBES, FastEncoder, token_sizes
from llmkit.modeling.tokenizer import literal_encoder
from llmkit.work.allocator import give_back_freed_memory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Found = tuple[NDArray[Any], NDArray[np.int64]]
"""Ids, and the UTF-8 byte behind each."""

CHECK_EVERY = 250
"""One text of so many is compared with `tokenizers`, and every text with a character from a block that is new."""

_known: WeakKeyDictionary[PreTrainedTokenizerFast, tuple[tuple[int, ...], TemplatedEncoder]] = WeakKeyDictionary()


class OtherIdsError(Exception):
    """gigatoken finds other ids than `tokenizers`: what it has found so far is not to be used either."""


class TemplatedEncoder:
    """A tokenizer with gigatoken's speed; after a difference from `tokenizers` it knows nothing any more.

    Args:
        tokenizer: Whose ids.
        is_fast: False leaves all to the tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, is_fast: bool = True) -> None:
        self._literal = literal_encoder(tokenizer, allow_special=True)
        self._fast: FastEncoder | None = None
        self._blocks: set[int] = set()
        self._num_texts = 0
        sizes = token_sizes(self._literal.content, self._literal.vocab_size)
        if not is_fast or sizes is None or tokenizer.split_special_tokens:
            return
        self._sizes = sizes
        try:
            self._fast = FastEncoder(self._literal, find_special=True)
        except ValueError:
            return
        names = self._literal.added
        among = ["\n".join((name, "a", name, " a")) for name in names]
        if self._differs([*PROBES, "".join(names), "a ".join(names), *names, *among]):
            self._fast = None
        self._literal.forget()
        give_back_freed_memory()

    @property
    def is_fast(self) -> bool:
        """Whether it takes anything."""
        return self._fast is not None

    def __call__(self, texts: Sequence[str]) -> list[Found | None]:
        """Encode texts; None stands for one that is to be left to the tokenizer.

        Raises:
            OtherIdsError: The ids of one are others than the tokenizer's.
        """
        found = list(map(self._encode, texts))
        if self._differs([text for text in texts if self._is_checked(text)]):
            self._fast = None
            raise OtherIdsError
        return found

    def _encode(self, text: str) -> Found | None:
        data = text.encode("utf-8", "surrogatepass")
        if self._fast is None or not self._fast.takes(data):
            return None
        ids = self._fast.encode(data)
        ends = np.cumsum(self._sizes[ids], dtype=np.int64)
        return (ids, ends) if ids.size and ends[-1] == len(data) else None

    def _is_checked(self, text: str) -> bool:
        self._num_texts += 1
        if text.isascii():
            return self._num_texts % CHECK_EVERY == 1
        blocks = set(np.unique(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4") >> 8).tolist())
        if blocks <= self._blocks:
            return self._num_texts % CHECK_EVERY == 1
        self._blocks |= blocks
        return True

    def _differs(self, texts: Sequence[str]) -> bool:
        checked = [(text, found[0]) for text in texts if (found := self._encode(text))]
        expected = self._literal.encode([text for text, _ in checked])
        return not all(np.array_equal(ids, right) for (_, ids), (right, _) in zip(checked, expected, strict=True))


def templated_encoder(tokenizer: PreTrainedTokenizerFast) -> TemplatedEncoder:
    """Return the tokenizer's encoder, made once; tokens added later make it anew."""
    known = _known.get(tokenizer)
    if known is None or known[0] != _state(tokenizer):
        known = _known[tokenizer] = (_state(tokenizer), TemplatedEncoder(tokenizer))
    return known[1]


def leave_to_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    """Let the tokenizer's encoder take nothing: gigatoken was found to differ."""
    if templated_encoder(tokenizer).is_fast:
        _known[tokenizer] = (_state(tokenizer), TemplatedEncoder(tokenizer, is_fast=False))


def _state(tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    return (len(tokenizer), *tokenizer.all_special_ids)
