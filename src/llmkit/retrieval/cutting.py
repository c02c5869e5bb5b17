"""Texts cut into passages: whole sentences up to so many words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from llmkit.text.sentences import sentence_starts
from llmkit.text.words import count_words

_PIECE = re.compile(r"[^\s，、；：]*[\s，、；：]+|[^\s，、；：]+")


def spans(text: str, max_words: int, overlap: int = 0) -> Iterator[tuple[int, int]]:
    """Yield where each passage of a text begins and ends, in characters; no blanks are at its ends.

    A sentence of more than `max_words` is cut between words or, without blanks in it, between characters.

    Args:
        text: The text.
        max_words: Words of a passage at most; each character of a script without spaces is one.
        overlap: A passage begins with sentences of the one before it, of so many words at most.
    """
    units = [(*span, count_words(text[slice(*span)])) for span in _units(text, max_words)]
    first = 0
    while first < len(units):
        last, words = first + 1, units[first][2]
        while last < len(units) and words + units[last][2] <= max_words:
            words += units[last][2]
            last += 1
        if any(unit[2] for unit in units[first:last]):
            yield _stripped(text, units[first][0], units[last - 1][1])
        if last == len(units):
            return
        again, back = last, 0
        while again - 1 > first and back + units[again - 1][2] <= overlap:
            again -= 1
            back += units[again][2]
        # What is repeated leaves room for what is new: else the next passage would be no further.
        first = again if back + units[last][2] <= max_words else last


def _units(text: str, max_words: int) -> Iterator[tuple[int, int]]:
    """Yield sentences, and parts of those that are too long."""
    for start, end in pairwise([*sentence_starts(text), len(text)]):
        if count_words(text[start:end]) <= max_words:
            yield start, end
        else:
            yield from _parts(text, start, end, max_words)


def _parts(text: str, start: int, end: int, max_words: int) -> Iterator[tuple[int, int]]:
    """Yield parts of a long sentence."""
    begin, words = start, 0
    for piece in _PIECE.finditer(text, start, end):
        size = count_words(piece[0])
        if words and words + size > max_words:
            yield begin, piece.start()
            begin, words = piece.start(), 0
        words += size
        while words > max_words:  # a run without blanks: each character is a word at most
            yield begin, begin + max_words
            begin += max_words
            words = count_words(text[begin : piece.end()])
    if begin < end:
        yield begin, end


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
