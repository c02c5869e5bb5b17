"""What the rules of Gopher, FineWeb and C4 share: how words and lines are counted, and what a paragraph cut off is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from llmkit.cleaning.steps import Step

if TYPE_CHECKING:
    from llmkit.cleaning.features import Features

Manner = Literal["papers", "datatrove"]
STOP_WORDS = ["the", "be", "to", "of", "and", "that", "have", "with"]
"""Gopher's: words that English prose can hardly do without."""
FUNCTION_WORDS = [
    "the", "of", "and", "to", "a", "in", "is", "that", "it", "for", "was", "as", "with", "be", "by", "on", "not",
    "he", "i", "this", "are", "or", "his", "from", "at", "which", "but", "have", "an", "had", "they", "you",
    "were", "their", "one", "all", "we", "can", "her", "has", "there", "been", "if", "more", "when", "will",
    "would", "who", "so", "no", "she", "my", "do", "what", "its", "out", "up", "into", "them", "some", "could",
    "than", "only", "about", "your", "then", "him", "may", "these", "me", "any", "our", "should", "other", "such",
    "now", "how", "also", "after", "before", "where", "most", "us", "over", "well", "very", "must", "because",
    "those", "did", "much", "too", "here", "just", "am", "under", "through", "between", "while", "being", "own",
    "upon", "make", "made", "let", "without", "every", "why", "yes", "oh", "thou", "thee", "thy", "ye",
]  # fmt: skip
"""Words that hold English sentences together: half of all words in speech and stories, a third in manuals."""
_FUNCTION_SET = frozenset(FUNCTION_WORDS)
_INNER_END = re.compile(r"[a-z0-9\"'”’)\]][.!?][\"'”’)\]]*\s+[\"'“‘(\[]*[A-Z]|[。！？؟।]")
_FUNCTION_SHARE, _JUDGED_WORDS, _JUDGED_CHARS = 0.33, 20, 4000


class Counted(Step):
    """A step that counts words and lines."""

    # The field is called `as`, which Python's grammar keeps for itself.
    locals()["as"] = Field(
        "papers",
        description=(
            "How words and lines are counted. `papers`: a word stands between blanks, a URL is one, and the lines of a "
            "hard-wrapped paragraph, found by how full they are, are one line. `datatrove`: its tokens (punctuation "
            "marks are words, a URL is up to a dozen) and every line as it stands, blank ones partly."
        ),
    )
    locals()["__annotations__"] = {"as": Manner}

    @property
    def manner(self) -> Manner:
        """How words and lines are counted."""
        return getattr(self, "as")  # type: ignore[no-any-return]


def cut_units(found: Features) -> int:
    """Return how many lines only seem not to end: the last line of a text that was cut off, if it reads as prose.

    Pages and chunks end in mid-sentence. The line must hold the end of a sentence or, if it is all there is, as many
    function words as English prose has; lists of search terms have neither.
    """
    spans, closed = found.units.spans, found.units.closed
    if not len(closed) or closed[-1]:
        return 0
    text = found.text[int(spans.starts[-1]) : int(spans.ends[-1])]
    if _INNER_END.search(text):
        return 1
    if len(closed) > 1:
        return 0
    words = text[:_JUDGED_CHARS].lower().split()
    return int(
        len(words) >= _JUDGED_WORDS and sum(map(_FUNCTION_SET.__contains__, words)) >= _FUNCTION_SHARE * len(words)
    )
