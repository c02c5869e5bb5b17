"""Replace punctuation, symbols and digits by a space, for classic text mining on words alone."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator

from llmkit.cleaning.steps import Rewrite
from llmkit.data.corpus import Document

_INNER = frozenset("'’-‐")
_DECIMAL = frozenset(".,")
_SPACES = re.compile(r"[ \u3000]{2,}")
_LINE_EDGES = re.compile(r"(?<=\n) | (?=\n)")
# Behind a symbol only: what makes one emoji of several characters.
_JOINERS = "\ufe0e\ufe0f\u200d\u20e3"


class StripSymbols(Rewrite):
    """Replace runs of the chosen Unicode categories by one space, in any script: `，。` as well as `,.`.

    In a text that changes, runs of spaces become one and lines lose the spaces at their ends.
    """

    punctuation: bool = True
    """Punctuation (categories P*), the underscore included."""
    symbols: bool = True
    """Currency, mathematical and other symbols, emoji (categories S*)."""
    digits: bool = False
    """Digits and other numerals such as `½` (categories Nd, No); 一二三 are letters."""
    keep_inner: bool = True
    """Leave apostrophes and hyphens between letters, and points and commas between digits: `don't`, `3.14`."""
    keep: str = ""
    """Characters that stay, whatever their category."""

    def rewrite(self, text: str, document: Document) -> str:  # noqa: ARG002 - the text decides alone
        """Return the text without the chosen characters."""
        new = text
        for pattern in _patterns(self.punctuation, self.symbols, self.digits, self.keep):
            new = pattern.sub(_replace if self.keep_inner else " ", new)
            if text.isascii():
                break
        return text if new == text else _LINE_EDGES.sub("", _SPACES.sub(" ", new)).strip(" ")


def _replace(match: re.Match[str]) -> str:
    run = match[0]
    if len(run) == 1 and (run in _INNER or run in _DECIMAL):
        start, text = match.start(), match.string
        before, after = text[start - 1 : start], text[start + 1 : start + 2]
        if (before.isalpha() and after.isalpha()) if run in _INNER else (before.isdigit() and after.isdigit()):
            return run
    return " "


@functools.cache
def _patterns(punctuation: bool, symbols: bool, digits: bool, keep: str) -> list[re.Pattern[str]]:
    """Compile one character class per plane that holds such characters, once per process (about 15 ms).

    `re` looks up the first plane in a table, but tries the ranges of others one by one: in one class with them, every
    letter of an English text would be compared with a hundred ranges of emoji and ancient numerals.
    """
    chosen = ("P",) * punctuation + ("S",) * symbols + ("Nd", "No") * digits
    planes = []
    for plane in (range(0x10000), range(0x10000, 0x20000)):
        codes = [c for c in plane if unicodedata.category(chr(c)).startswith(chosen) and chr(c) not in keep]
        members = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in _ranges(codes))
        if members:
            planes.append(re.compile(f"[{members}][{members}{_JOINERS if symbols else ''}]*"))
    return planes


def _ranges(codes: list[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of consecutive numbers."""
    for _, run in itertools.groupby(enumerate(codes), key=lambda item: item[1] - item[0]):
        numbers = [code for _, code in run]
        yield numbers[0], numbers[-1]
