"""What a text is found by: its words in lower case; Chinese is cut into words as search engines cut it."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable

from llmkit.core.extras import require
from llmkit.text.characters import UNSPACED, character_table, script_class

_WORD = re.compile(r"\w+")


def terms(text: str) -> list[str]:
    """Return the words of a text, in order.

    Chinese words are given whole and by the shorter words in them (jieba's mode for searching), other scripts without
    spaces by their characters. Width and case do not count.

    Raises:
        SetupError: The text has Chinese words, and what cuts them is not installed.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    if text.isascii():
        return _WORD.findall(text)
    return [word for part in _WORD.findall(text) for word in ([part] if part.isascii() else _cut(part))]


def _cut(part: str) -> list[str]:
    found: list[str] = []
    for number, run in enumerate(_han().split(part)):  # other, Chinese, other, ... other
        if number % 2:
            found += _cutter()(run, True)
        elif run:
            found += _characters(run)
    return found


def _characters(run: str) -> list[str]:
    """Return a word, and each character of a script without spaces."""
    info, found, word = character_table().info, list[str](), ""
    for character in run:
        if info[ord(character)] & UNSPACED:
            found += [word, character] if word else [character]
            word = ""
        else:
            word += character
    return [*found, word] if word else found


@functools.cache
def _han() -> re.Pattern[str]:
    return re.compile(f"([{script_class('Han')}]+)")


@functools.cache
def _cutter() -> Callable[[str, bool], list[str]]:
    return require("retrieval", "rjieba").cut_for_search  # type: ignore[no-any-return]
