"""What the readers of markup share: text that is set aside, and spans that are cut out, both in linear time."""

from __future__ import annotations

import re
from collections.abc import Callable

_MARK = re.compile("\0([0-9]{1,9})\0")


class Kept:
    """Pieces of text that no rule may touch, such as code: a mark stands for each until the end.

    The text they are cut out of must be free of NUL, which the marks are made of.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def keep(self, piece: str) -> str:
        """Set a piece aside and return its mark."""
        self._pieces.append(piece)
        return f"\0{len(self._pieces) - 1}\0"

    def restore(self, text: str) -> str:
        """Put the pieces back; one may contain the marks of earlier ones."""
        for _ in range(8):
            if "\0" not in text:
                return text
            text = _MARK.sub(self._piece, text)
        return text.replace("\0", "")  # half a mark: a rule has cut an address of more than 2,000 characters in two

    def _piece(self, match: re.Match[str]) -> str:
        index = int(match[1])
        return self._pieces[index] if index < len(self._pieces) else ""


def replace_spans(text: str, start: re.Pattern[str], end: str, replace: Callable[[re.Match[str], str], str]) -> str:
    """Replace everything from a match of `start` to the next `end`, ignoring case.

    A start without an end stays as it is. A pattern `start.*?end` would look for that end once per start.

    Args:
        text: The text.
        start: Beginning of a span.
        end: Its end, in lower case and ASCII.
        replace: Gets the match and what is between it and the end; returns what stands for all of it.
    """
    if not start.search(text):
        return text
    pattern = re.compile(re.escape(end), re.IGNORECASE)
    parts: list[str] = []
    position = 0
    while match := start.search(text, position):
        closing = pattern.search(text, match.end())
        if closing is None:
            break
        parts += (text[position : match.start()], replace(match, text[match.end() : closing.start()]))
        position = closing.end()
    return "".join(parts) + text[position:]
