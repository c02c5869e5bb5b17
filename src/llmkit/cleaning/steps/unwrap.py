"""Join the lines of hard-wrapped paragraphs.

The ferry leaves at nine, and we were
on the quay by half past eight.          ->   The ferry leaves at nine, and we were on the quay by half past eight.
"""

from __future__ import annotations

import re
from typing import ClassVar

from llmkit.cleaning.steps import Rewrite
from llmkit.data.corpus import Document

_MARGIN = re.compile(r"[\s>]*")
_HYPHENATED = re.compile(r"[^\W\d_]-$")


class Unwrap(Rewrite):
    """Join the lines of hard-wrapped paragraphs, found by how full their lines are; the report counts them as `lines`.

    Verse, lists, code, tables and headings keep their lines; a list item of several lines becomes one line. A paragraph
    keeps the indentation and the `>` of its first line. In Chinese and Japanese nothing is put between the lines, in
    Latin script one space; a hyphen at the end of a line stays, without a space behind it.
    """

    by_line: ClassVar[bool] = True

    def rewrite(self, text: str, document: Document) -> str:
        """Return the text with joined lines; the same object where nothing is wrapped."""
        from llmkit.cleaning.features import Features, features
        from llmkit.text.characters import UNSPACED, flags_of

        found = features(document) if text is document.text else Features(text)
        joined = found.units.joined
        if not joined.any():
            return text
        lines = found.lines
        document.count("lines", int(joined.sum()))
        parts: list[str] = []
        position = 0
        for start, end in zip(lines.starts[joined].tolist(), lines.ends[joined.nonzero()[0] - 1].tolist(), strict=True):
            before = text[position:end]
            margin = _MARGIN.match(text, start)
            first = margin.end() if margin else start
            glued = (
                _HYPHENATED.search(text, max(end - 2, 0), end)
                or (flags_of(text[first]) & UNSPACED and flags_of(text[end - 1]) & UNSPACED)
                or _wide(text[end - 1])
                or _wide(text[first])
            )
            parts += (before, "" if glued else " ")
            position = first
        return "".join((*parts, text[position:]))


def _wide(char: str) -> bool:
    """Say whether a character is punctuation of Chinese or Japanese, which brings its own space."""
    return "\u3000" <= char <= "\u303f" or "\uff00" <= char <= "\uff60"
