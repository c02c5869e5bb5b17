"""Where text may be UTF-8 that was read in a code page: a look at every character, in one pass of compiled code.

It finds all that `repair` promises to mend and more, at 1 GB/s; what it finds is only a suspicion.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from llmkit.cleaning.kernels import kernel

_ALL = range(0x80, 0xC0)
_LEADS = range(0xC2, 0xF5)
_QUOTES = {0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5}
_LETTERS = {0xA1, 0xA2, 0xA5, 0xA8, 0xAA, 0xAF, 0xB2, 0xB3, 0xB4, 0xB8, 0xBA, 0xBF}

# For each code page, the bytes that begin characters in UTF-8, and those that continue them. Left out is what right
# text is full of: `’é` and the like of Mac OS, Cyrillic letters but those of Russian, and the frames of DOS tables.
_PAGES = (
    (("latin-1", "cp1252"), _LEADS, _ALL),
    (("cp1250",), _LEADS, _ALL),
    (("cp1251",), _LEADS, set(_ALL) - _LETTERS),
    (("cp1253",), _LEADS, _ALL),
    (("cp1254",), _LEADS, _ALL),
    (("cp1257",), _LEADS, _ALL),
    (("iso8859-2",), _LEADS, _ALL),
    (("mac-roman",), set(_LEADS) - _QUOTES, _ALL),
    (("cp437",), range(0xC2, 0xE0), range(0x80, 0xB0)),
    (("cp437",), range(0xE0, 0xF5), _ALL),
)
_TWO, _THREE, _FOUR, _NEXT, _E2, _80 = range(6)
_EVERY = 2 ** len(_PAGES) - 1


def is_suspicious(data: bytes) -> bool:
    """Tell whether UTF-8 text has what may be UTF-8 read in a code page, or a control character of Latin-1."""
    return bool(_search(np.frombuffer(data, np.uint8), _table()))


@cache
def _table() -> np.ndarray[Any, Any]:
    """Return `[65536, 6]` sets of code pages: in which a character begins one of 2, 3 or 4 bytes, or continues one.

    And in which it is the byte E2 or 80, with which quotation marks and dashes begin; their third is often lost.
    """
    table = np.zeros((65536, 6), np.uint16)
    for number, (encodings, leads, continuations) in enumerate(_PAGES):
        for encoding in encodings:
            for byte in range(0x80, 0x100):
                try:
                    character = ord(bytes([byte]).decode(encoding))
                except UnicodeDecodeError:
                    continue
                for column, belongs in (
                    (_TWO, byte in leads and byte < 0xE0),
                    (_THREE, byte in leads and 0xE0 <= byte < 0xF0),
                    (_FOUR, byte in leads and byte >= 0xF0),
                    (_NEXT, byte in continuations),
                    (_E2, byte == 0xE2),
                    (_80, byte == 0x80),
                ):
                    if belongs:
                        table[character, column] |= 1 << number
    table[0xFFFD, _NEXT] = _EVERY
    return table


@kernel
def _search(data, table):
    """Return whether a character is followed by as many continuations as it would have, in one and the same page."""
    size = data.shape[0]
    # The pages in which one, two or three more continuations are due; the pages of an E2 just read; the last character.
    one = two = three = begun = np.uint16(0)
    last = 0
    i = 0
    while i < size:
        byte = int(data[i])
        if byte < 0x80:
            if byte == 32 and last in (0xC2, 0xC3):  # a no-break space that became one
                return True
            one = two = three = begun = np.uint16(0)
            last = byte
            i += 1
            continue
        if byte < 0xE0:
            last = (byte & 31) << 6 | (int(data[i + 1]) & 63)
            i += 2
        elif byte < 0xE3 or byte == 0xEF:
            last = (byte & 15) << 12 | (int(data[i + 1]) & 63) << 6 | (int(data[i + 2]) & 63)
            i += 3
        else:  # U+3000 and more: of no code page
            one = two = three = begun = np.uint16(0)
            last = 0
            i += 3 if byte < 0xF0 else 4
            continue
        if 0x80 <= last < 0xA0:
            return True
        row = table[last]
        follows = row[_NEXT]
        if one & follows or begun & row[_80]:
            return True
        one, two, three = (two & follows) | row[_TWO], (three & follows) | row[_THREE], row[_FOUR]
        begun = row[_E2]
    return False
