"""How many words a text has: runs of letters, marks and digits, and each character of a script without spaces."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from llmkit.text.characters import DIGIT, MARK, UNSPACED, WORD, character_table, code_points

_LETTER, _DIGIT, _POINT, _CHARACTER, _MARK = 1, 2, 3, 4, 5


def count_words(text: str) -> int:
    """Return the number of words; a point or comma between digits belongs to the number."""
    kinds = _kinds()[code_points(text)]
    marks = kinds == _MARK
    if marks.any():  # they go with what stands before them, whatever that is
        kinds = kinds[~marks]
    digit = kinds == _DIGIT
    word = digit | (kinds == _LETTER)
    word[1:-1] |= digit[:-2] & (kinds[1:-1] == _POINT) & digit[2:]
    starts = np.count_nonzero(word[1:] & ~word[:-1]) + int(word[:1].sum())
    return int(starts + np.count_nonzero(kinds == _CHARACTER))


@functools.cache
def _kinds() -> NDArray[np.uint8]:
    """Return the kind of every code point, 0 for what is in no word, `[0x110000]`."""
    info = character_table().info
    kinds = np.zeros(info.size, np.uint8)
    for flag, kind in ((WORD, _LETTER), (DIGIT, _DIGIT), (UNSPACED, _CHARACTER), (MARK, _MARK)):
        kinds[info & flag != 0] = kind
    kinds[[ord("."), ord(",")]] = _POINT
    return kinds
