"""Read a tiktoken file, `base64 rank` per line, as byte-level BPE."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from llmkit.core.errors import DataError
from llmkit.text.utf8 import byte_characters

if TYPE_CHECKING:
    from tokenizers import models

END_OF_TEXT = "<|endoftext|>"
_END_OF_TEXT_RANK = 50256
"""Of the vocabularies that go back to GPT-2; the file of p50k leaves it out between its ranks."""
_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} [0-9]+\r?\n")


def looks_like_ranks(content: bytes) -> bool:
    """Say whether the first line is one of a tiktoken file."""
    return _LINE.match(content) is not None


def read_ranks(content: bytes, name: str) -> dict[bytes, int]:
    """Return the rank, which is the id, of every token.

    Raises:
        DataError: A line cannot be read, or one of the 256 bytes has no rank; the message names it.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        token, _, rank = line.partition(b" ")
        try:
            if line:
                ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (binascii.Error, ValueError):
            raise DataError(f"{name}:{number}: not a line of a tiktoken file") from None
    if missing := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise DataError(f"{name} has no rank for {len(missing)} of the 256 bytes, such as 0x{missing[0]:02x}")
    return ranks


def to_model(ranks: dict[bytes, int]) -> models.BPE:
    """Return the model that gives the same ids.

    tiktoken takes a word that is a token as it is, and otherwise merges the neighbours whose joint bytes have the
    lowest rank: so every way to cut a token in two tokens is a merge. A rank that no token has gets one that no text
    becomes: tokens added later are numbered by the count, and would else get the id of another.
    """
    from tokenizers import models

    characters = byte_characters()
    merges = []
    for token, rank in ranks.items():
        cuts = ((token[:i], token[i:]) for i in range(1, len(token)))
        merges += [(rank, ranks[a], ranks[b], a, b) for a, b in cuts if a in ranks and b in ranks]
    text = {token: "".join(characters[byte] for byte in token) for token in ranks}
    vocabulary = _placeholders(ranks) | {text[token]: rank for token, rank in ranks.items()}
    return models.BPE(vocabulary, [(text[a], text[b]) for *_, a, b in sorted(merges)], ignore_merges=True)


def _placeholders(ranks: dict[bytes, int]) -> dict[str, int]:
    gaps = sorted(set(range(max(ranks.values()))) - set(ranks.values()))
    return {END_OF_TEXT if gaps == [_END_OF_TEXT_RANK] else f"<|unused_{gap}|>": gap for gap in gaps}
