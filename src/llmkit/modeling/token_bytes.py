"""Which bytes of text each token of a tokenizer stands for."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from llmkit.text.utf8 import byte_characters

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BYTE_NAME = re.compile(r"<0x([0-9A-F]{2})>")
"""How SentencePiece writes a byte of a character that its vocabulary lacks."""


def token_bytes(tokenizer: PreTrainedTokenizerFast) -> list[bytes]:
    """Return the UTF-8 bytes each id stands for, `[vocab_size]`; gaps in the ids are empty.

    Byte-level tokens are translated back (`Ġthe` is ` the`) and so are bytes by fallback (`<0xE4>`); tokens of other
    tokenizers are taken as they are written (`##ing`, `▁the`).
    """
    vocabulary, added = tokenizer.get_vocab(), tokenizer.added_tokens_decoder
    spelled, alphabet = is_byte_level(tokenizer), {char: byte for byte, char in enumerate(byte_characters())}
    has_fallback = all(f"<0x{byte:02X}>" in vocabulary for byte in range(256))
    found = [b""] * (max(vocabulary.values(), default=-1) + 1)
    for token, i in vocabulary.items():
        name = BYTE_NAME.fullmatch(token) if has_fallback else None
        found[i] = bytes.fromhex(name[1]) if name else token.encode()
        if spelled and not name and i not in added:
            with contextlib.suppress(KeyError):  # a character outside the alphabet
                found[i] = bytes(map(alphabet.__getitem__, token))
    return found


def is_byte_level(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Tell whether the tokens are written in the byte alphabet of GPT-2."""
    backend = tokenizer.backend_tokenizer
    parts = (part for part in (backend.pre_tokenizer, backend.decoder) if part is not None)
    return any(b'"ByteLevel"' in part.__getstate__() for part in parts)
