"""Measure what a tokenizer does not read of texts: what its vocabulary lacks, and what it drops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import orjson
from numpy.typing import NDArray

from llmkit.data.unread import Unread
from llmkit.modeling.fast import lacks_bytes, token_sizes
from llmkit.modeling.literal import LiteralEncoder
from llmkit.modeling.tokenizer import literal_encoder
from llmkit.text.characters import code_points

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

_ACCENTS = frozenset(map(chr, range(0x300, 0x370)))
_MARK = "\ufdd1unknown\ufdd1"


class Coverage:
    """Measures what a tokenizer does not read of texts.

    Args:
        literal: Its encoder.
    """

    def __init__(self, literal: LiteralEncoder) -> None:
        self.literal = literal
        self.unknown = literal.unknown
        content = literal.content
        self._has_normalizer = content["normalizer"] is not None
        sizes = token_sizes(content, literal.vocab_size)
        self.reads_all = sizes is not None and not lacks_bytes(content, literal.special)
        """Whether nothing can be unread: every byte has a token, and no normalizer removes any."""
        self._marking = None if self.reads_all else _marking(literal)
        self._kept: dict[str, bool] = {}

    def measure(self, texts: Sequence[str]) -> Unread:
        """Encode texts, and count what is not read of them."""
        total = Unread()
        if self.reads_all:
            return total
        for text, (ids, spans) in zip(texts, (self._marking or self.literal).spans(texts), strict=True):
            total = total.plus(self._count(text, ids, spans))
        return total

    def of(self, text: str, ids: NDArray[Any], spans: NDArray[np.int64]) -> Unread:
        """Count what is not read of a text.

        Args:
            text: The text.
            ids: Its ids, `[tokens]`.
            spans: Where each token begins and ends, in characters, `[tokens, 2]`.
        """
        return self._count(text, ids, spans) if self._marking is None else self.measure([text])

    def _count(self, text: str, ids: NDArray[Any], spans: NDArray[np.int64]) -> Unread:
        codes = code_points(text)
        unread = ~_covered(spans, codes.size) | self._dropped(text, codes)
        unknown = np.zeros(codes.size, np.bool_)
        if self.unknown is not None:
            unknown = _covered(spans[ids == self.unknown], codes.size)
        elif self._marking is not None:  # no unknown token stands for it: it is lost
            unread |= _covered(spans[ids == self.literal.vocab_size], codes.size)
        lost = unread & ~unknown
        blank = [code for code in np.unique(codes[lost]).tolist() if self._is_blank(chr(code))]
        lost &= ~np.isin(codes, blank)
        return Unread(_num_bytes(codes[unknown]), _num_bytes(codes[lost]))

    def _dropped(self, text: str, codes: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which characters the normalizer removes, which may happen within a token, `[characters]`."""
        if not self._has_normalizer:
            return np.zeros(codes.size, np.bool_)
        for char in set(text) - self._kept.keys():
            self._kept[char] = char.isspace() or char in _ACCENTS or bool(self._normalize(char))
        gone = [ord(char) for char in set(text) if not self._kept[char]]
        return np.isin(codes, gone) if gone else np.zeros(codes.size, np.bool_)

    def _is_blank(self, char: str) -> bool:
        """Tell whether a character is white space, or is to the tokenizer, or an accent that it folds."""
        if char.isspace():
            return True
        form = self._normalize(char) if self._has_normalizer else char
        return not form.strip(" \u2581") if form else char in _ACCENTS

    def _normalize(self, char: str) -> str:
        form: str = self._backend.normalizer.normalize_str(char)
        return form

    @cached_property
    def _backend(self) -> Tokenizer:
        from tokenizers import Tokenizer

        backend: Tokenizer = Tokenizer.from_str(self.literal.pipeline)
        return backend


def _marking(literal: LiteralEncoder) -> LiteralEncoder | None:
    """Return an encoder that marks what a BPE without an unknown token drops; None for other tokenizers.

    Such a model moves the spans of the tokens behind to where the dropped characters were.
    """
    content = literal.content
    model = content["model"]
    if model["type"] != "BPE" or literal.unknown is not None:
        return None
    vocab = {**model["vocab"], _MARK: literal.vocab_size}
    marked = {**content, "model": {**model, "vocab": vocab, "unk_token": _MARK, "fuse_unk": False}}
    return LiteralEncoder(orjson.dumps(marked).decode(), literal.special, literal.vocab_size + 1, literal.allow_special)


def _covered(spans: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Tell which of so many characters are inside of any span, `[size]`."""
    starts, ends = (np.bincount(spans[:, side], minlength=size + 1) for side in (0, 1))
    return np.cumsum(starts - ends)[:size] > 0


def _num_bytes(codes: NDArray[Any]) -> int:
    """Return the bytes of characters in UTF-8."""
    return int(codes.size + sum(np.count_nonzero(codes >= first) for first in (0x80, 0x800, 0x10000)))


_known: WeakKeyDictionary[PreTrainedTokenizerFast, tuple[LiteralEncoder, Coverage]] = WeakKeyDictionary()


def coverage_of(tokenizer: PreTrainedTokenizerFast) -> Coverage:
    """Return a tokenizer's coverage, made once; tokens added later make it anew."""
    literal, known = literal_encoder(tokenizer), _known.get(tokenizer)
    if known is None or known[0] is not literal:
        known = _known[tokenizer] = (literal, Coverage(literal))
        if known[1].reads_all:
            literal.forget()
    return known[1]
