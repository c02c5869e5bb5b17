"""Encode what chat templates write, special tokens among the text, with gigatoken where it finds the same ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from llmkit.modeling.fast import PROBES, FastEncoder, token_sizes
from llmkit.modeling.tokenizer import literal_encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Found = tuple[NDArray[Any], NDArray[np.int64]]
"""Ids, and the UTF-8 byte behind each."""

CHECK_EVERY = 250
"""One text of so many is compared with `tokenizers`, and every text with a character from a block that is new."""

_known: WeakKeyDictionary[PreTrainedTokenizerFast, tuple[tuple[int, ...], TemplatedEncoder]] = WeakKeyDictionary()


class TemplatedEncoder:
    """A tokenizer with gigatoken's speed; at the first difference from `tokenizers` it knows nothing any more.

    Args:
        tokenizer: Whose ids.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._literal = literal_encoder(tokenizer, allow_special=True)
        self._fast: FastEncoder | None = None
        self._blocks: set[int] = set()
        self._num_texts = 0
        sizes = token_sizes(self._literal.content, self._literal.vocab_size)
        if sizes is None or tokenizer.split_special_tokens:
            return
        self._sizes = sizes
        try:
            self._fast = FastEncoder(self._literal, find_special=True)
        except ValueError:
            return
        names = self._literal.added
        among = ["\n".join((name, "a", name, " a")) for name in names]
        self._check([*PROBES, "".join(names), "a ".join(names), *names, *among])
        self._literal.forget()

    def __call__(self, texts: Sequence[str]) -> list[Found | None]:
        """Encode texts; None stands for one that is to be left to the tokenizer."""
        found = list(map(self._encode, texts))
        self._check([text for text in texts if self._is_checked(text)])
        return found if self._fast else [None] * len(texts)

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

    def _check(self, texts: Sequence[str]) -> None:
        checked = [(text, found[0]) for text in texts if (found := self._encode(text))]
        expected = self._literal.encode([text for text, _ in checked])
        if not all(np.array_equal(ids, right) for (_, ids), (right, _) in zip(checked, expected, strict=True)):
            self._fast = None


def templated_encoder(tokenizer: PreTrainedTokenizerFast) -> TemplatedEncoder:
    """Return the tokenizer's encoder, made once; tokens added later make it anew."""
    state = (len(tokenizer), *tokenizer.all_special_ids)
    known = _known.get(tokenizer)
    if known is None or known[0] != state:
        known = _known[tokenizer] = (state, TemplatedEncoder(tokenizer))
    return known[1]
