"""Text of tokens as they come, by a tokenizer of transformers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from tokenizers.decoders import DecodeStream

from llmkit.runtimes._places import Speller

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


BLANK = "▁"
"""How SentencePiece writes a blank."""


@lru_cache(maxsize=8)
def bytes_of(tokenizer: PreTrainedTokenizerFast) -> Mapping[int, bytes]:
    """Return what each id stands for in a text; special tokens, and those that are none, stand for nothing."""
    from llmkit.modeling.token_bytes import is_byte_level, token_bytes

    found = token_bytes(tokenizer)
    if not is_byte_level(tokenizer):
        found = [one.replace(BLANK.encode(), b" ") for one in found]
    for i, token in tokenizer.added_tokens_decoder.items():
        if token.special and i < len(found):
            found[i] = b""
    return defaultdict(bytes, enumerate(found))


class TokenSpeller(Speller):
    """What is spelled in parts is what `decode` makes of the whole, special tokens skipped.

    Args:
        tokenizer: The tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer, self.backend = tokenizer, tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._said = ""

    def add(self, token: int) -> str:
        """Return what a token adds."""
        self._ids.append(token)
        new = self._stream.step(self.backend, token) or ""
        self._said += new
        return new

    def spelled(self, token: int) -> bytes:
        """Return the bytes of a token."""
        return bytes_of(self.tokenizer)[token]

    def rest(self) -> str:
        """Return what is still held back, such as a character that was cut off."""
        whole = str(self.tokenizer.decode(self._ids, skip_special_tokens=True))
        return whole[len(self._said) :] if whole.startswith(self._said) else ""
