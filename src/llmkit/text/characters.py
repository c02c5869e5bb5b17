"""One table of what every Unicode code point is, and regular expressions built from it.

Whoever asks whether a character is part of a word, or of a script written without spaces, asks here. Importing this
module does not build the table.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WORD = 1
"""Letters, marks, digits and connectors: runs of them are words."""
UNSPACED = 2
"""Characters of scripts written without spaces: each counts as a word of its own."""
SPACE = 4
LETTER = 8
DIGIT = 16
UPPER = 32
TERMINAL = 64
"""Ends a sentence, in any script: `.` `!` `?` `。` `！` `？` and their kin, and the ellipsis."""
INVISIBLE = 128
"""Controls other than tab and newline, zero-width characters, unassigned and private-use code points."""

SCRIPTS = (
    "Common", "Latin", "Han", "Kana", "Hangul", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Bengali",
    "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Tamil", "Telugu", "Georgian", "Armenian", "Ethiopic", "Other",
)  # fmt: skip
MARK = 256
"""Combining marks and variation selectors: part of the token before them, whatever that is."""
SCRIPT_SHIFT = 9
"""Above this many flag bits stands the script's position in `SCRIPTS`."""
_UNSPACED_SCRIPTS = {"Han", "Kana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"}
_NAMES = {script.upper(): script for script in SCRIPTS[1:-1]} | {
    "CJK": "Han", "IDEOGRAPHIC": "Han", "HANGZHOU": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana",
    "KATAKANA-HIRAGANA": "Kana", "HENTAIGANA": "Kana",
}  # fmt: skip
_MISNAMED = dict.fromkeys("〱〲〳〴〵〼", "Kana") | dict.fromkeys("〻\U00016fe3\U00016ff0\U00016ff1", "Han")
"""Characters whose names do not begin with their script: `VERTICAL KANA REPEAT MARK`."""
# Unicode's Sentence_Terminal property as far as written languages use it, and the ellipsis, which it leaves out.
_TERMINALS = frozenset(".!?…。！？｡．؟۔܀।॥።፧፨။၊៖៕᠃᠉‼⁇⁈⁉․﹖﹗﹒׃")
NUM_CODE_POINTS = 0x110000
_UNIFORM = (slice(0x3400, 0x4DC0), slice(0x4E00, 0xA000), slice(0xAC00, 0xD7A4), slice(0xD800, 0xF900))
"""Blocks in which all are like the first: Han, Hangul, surrogates and private use; one by one they take 40 ms."""
_HAN_EXTENSIONS = slice(0x20000, 0x33480)
_VARIATION_SELECTORS = slice(0xE0100, 0xE01F0)


class CharacterTable(NamedTuple):
    """What a kernel looks up per code point.

    Attributes:
        info: `[0x110000]` uint16, flags in the low bits, the script's position above `SCRIPT_SHIFT`.
        folded: `[0x110000]` uint32, the lower-case code point, where there is exactly one.
    """

    info: NDArray[np.uint16]
    folded: NDArray[np.uint32]


@functools.cache
def character_table() -> CharacterTable:
    """Build the table, once per process (about 50 ms)."""
    info = np.full(NUM_CODE_POINTS, INVISIBLE, np.uint16)  # tags, private use and nothing else above the Han planes
    folded = np.arange(NUM_CODE_POINTS, dtype=np.uint32)
    single = np.ones(0x20000, np.bool_)
    for block in _UNIFORM:
        info[block], single[block] = _describe(chr(block.start)), False
    for code in np.flatnonzero(single).tolist():
        char = chr(code)
        info[code] = _describe(char)
        lower = char.lower()
        if lower != char and len(lower) == 1:
            folded[code] = ord(lower)
    info[_VARIATION_SELECTORS] = WORD | MARK
    info[_HAN_EXTENSIONS] = UNSPACED | LETTER | (SCRIPTS.index("Han") << SCRIPT_SHIFT)
    return CharacterTable(info, folded)


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text, `[characters]`; lone surrogates stay."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def flags_of(char: str) -> int:
    """Return the flags of one character, its script's position above them."""
    return int(character_table().info[ord(char)])


@functools.cache
def unspaced_class() -> str:
    """Return what stands between the brackets of a regular expression for the characters flagged `UNSPACED`."""
    return _ranges(character_table().info & UNSPACED != 0)


@functools.cache
def word_class() -> str:
    """Return the same for all that words are made of: letters, marks, numbers and what joins them."""
    return _ranges(character_table().info & (WORD | UNSPACED) != 0)


@functools.cache
def script_class(script: str) -> str:
    """Return the same for the letters and marks of a script, one of `SCRIPTS`."""
    return _ranges(character_table().info >> SCRIPT_SHIFT == SCRIPTS.index(script))


def has_script(text: str, script: str) -> bool:
    """Tell whether a letter or mark of a script, one of `SCRIPTS`, is in a text; 2 ns a character."""
    return bool((character_table().info[code_points(text)] >> SCRIPT_SHIFT == SCRIPTS.index(script)).any())


def _ranges(chosen: NDArray[np.bool_]) -> str:
    """Return the chosen code points, `[0x110000]`, as ranges, adjoining ones merged."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).tolist()
    return "".join(f"\\U{start:08x}-\\U{stop - 1:08x}" for start, stop in zip(edges[::2], edges[1::2], strict=True))


def _describe(char: str) -> int:
    category = unicodedata.category(char)
    script = _script(char, category)
    flags = 0
    if char.isspace():
        flags |= SPACE
    elif category in ("Cc", "Cf", "Cn", "Co", "Cs"):
        flags |= INVISIBLE
    elif category[0] in "LMN" or category == "Pc":
        flags |= UNSPACED if script in _UNSPACED_SCRIPTS and category != "Nd" else WORD
    flags |= MARK if category[0] == "M" else 0
    flags |= LETTER if category[0] == "L" or (category == "Nl" and script == "Han") else 0  # 二〇二六
    flags |= DIGIT if category == "Nd" else 0
    flags |= UPPER if category in ("Lu", "Lt") else 0
    flags |= TERMINAL if char in _TERMINALS else 0
    return flags | (SCRIPTS.index(script) << SCRIPT_SHIFT)


def _script(char: str, category: str) -> str:
    if category[0] not in "LM" and category != "Nl":
        return "Common"
    if char in _MISNAMED:
        return _MISNAMED[char]
    names = unicodedata.name(char, "").split(" ", 2)
    name = names[1] if names[0] in ("HALFWIDTH", "FULLWIDTH") else names[0]
    if category == "Nl":
        return _NAMES.get(name, "Common")
    return "Common" if name in ("COMBINING", "VARIATION") else _NAMES.get(name, "Other")
