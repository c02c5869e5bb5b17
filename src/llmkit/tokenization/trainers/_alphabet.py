"""Count the characters of normalized text, and find those that stand inside words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

NUM_CODE_POINTS = 0x110000
BATCH_CHARS = 2_000_000
UNSEEN, INSIDE, ALONE, SPACE = range(4)
"""What a pre-tokenizer does with a character: keeps it in words, makes it a word of its own, drops it."""


class Alphabet(NamedTuple):
    """Characters by code point.

    Attributes:
        characters: All that are kept.
        continuing: Those of them that follow another character in some word.
    """

    characters: list[str]
    continuing: list[str]


def count_alphabet(texts: Iterable[str], tokenizer: Tokenizer, limit: int) -> Alphabet:
    """Return the most frequent characters of what a tokenizer's normalizer and pre-tokenizer make of texts.

    Where characters of the same count stand on both sides of the limit, all of them are left out: whatever chooses
    among them would choose by chance.

    Args:
        texts: One pass over the text.
        tokenizer: Cuts words by single characters, as BERT's pre-tokenizer does.
        limit: Characters to keep at most.
    """
    counts = np.zeros(NUM_CODE_POINTS, np.int64)
    follows = np.zeros(NUM_CODE_POINTS, bool)
    kinds = np.full(NUM_CODE_POINTS, UNSEEN, np.uint8)
    for text in _batches(texts):
        codes = _codes(tokenizer.normalizer.normalize_str(text))
        counts += np.bincount(codes, minlength=NUM_CODE_POINTS)
        for code in np.flatnonzero((counts > 0) & (kinds == UNSEEN)):
            kinds[code] = _kind(tokenizer, chr(code))
        inside = kinds[codes] == INSIDE
        follows[codes[1:][inside[1:] & inside[:-1]]] = True
    counts[kinds == SPACE] = 0
    found = np.flatnonzero(counts)
    if found.size > limit:
        found = found[counts[found] > np.sort(counts[found])[-limit - 1]]
    return Alphabet([chr(code) for code in found], [chr(code) for code in found[follows[found]]])


def _kind(tokenizer: Tokenizer, character: str) -> int:
    """Ask the pre-tokenizer itself: the Unicode tables of two libraries are never of the same year."""
    words = len(tokenizer.pre_tokenizer.pre_tokenize_str(f"a{character}a"))
    return {1: INSIDE, 2: SPACE, 3: ALONE}[words]


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _batches(texts: Iterable[str]) -> Iterator[str]:
    """Join texts to long ones, a line end between them."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARS:
            yield "\n".join([*batch, ""])
            batch, size = [], 0
    yield "\n".join(batch)
