"""Sentence starts by punctuation, for English and Chinese alike: cheap, good enough for sentence pairs."""

from __future__ import annotations

import re

# A sentence ends with .!? and closing quotes before whitespace, with 。！？ and closing quotes anywhere (Chinese puts
# no space there), or with a line end.
_END = re.compile(r"(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？…]+[”’」』）]*|\n)\s*")


def sentence_starts(text: str) -> list[int]:
    """Return the character positions at which sentences start, ascending, the first non-blank one included."""
    first = len(text) - len(text.lstrip())
    starts = [first] if first < len(text) else []
    starts += [match.end() for match in _END.finditer(text) if first < match.end() < len(text)]
    return starts
