"""Texts to ids as a model is served with them: special tokens added, cut at a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerFast

_cutting: WeakKeyDictionary[PreTrainedTokenizerFast, tuple[int, Tokenizer]] = WeakKeyDictionary()


def encode_texts(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[Any], limit: int, *, words: bool = False
) -> list[Encoding]:
    """Encode texts, pairs of texts or lists of words; of a pair the longer text is cut first.

    An encoding's `overflowing` is not empty where something was cut. The tokenizer's own settings stay as they are.
    """
    known = _cutting.get(tokenizer)
    if known is None or known[0] != limit:
        from tokenizers import Tokenizer

        copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        copy.no_padding()
        copy.enable_truncation(limit, strategy="longest_first")
        known = _cutting[tokenizer] = (limit, copy)
    found: list[Encoding] = known[1].encode_batch(list(texts), is_pretokenized=words, add_special_tokens=True)
    return found
