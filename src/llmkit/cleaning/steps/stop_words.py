"""Remove words that carry little meaning (the, of; 的, 了), for classic text mining."""

from __future__ import annotations

import functools
import re

from pydantic import Field

from llmkit.cleaning.steps import Rewrite
from llmkit.cleaning.steps._words import WORD, blocks, primary
from llmkit.core.extras import require
from llmkit.data.corpus import Document

_WORD_AND_SPACES = re.compile(WORD.pattern + "([ \t\u3000]*)")


class StopWords(Rewrite):
    """Remove the stop words of the document's language, with the spaces behind them (stopwords-iso, 58 languages).

    Chinese has to be cut into words before (`segment`): in raw Chinese no word stands alone, so nothing is removed.
    Needs the extra `classic`.
    """

    language: str | None = Field(None, pattern="^[a-z]{2,3}$")
    """Language of all documents, as a primary tag; null for each document's own."""
    add: list[str] = []
    """Words to remove as well, in any language."""
    keep: list[str] = []
    """Words that stay although they are on the list, such as `not` where a sentiment depends on it."""

    def rewrite(self, text: str, document: Document) -> str:
        """Return the text without its stop words."""
        stop = _stop_words(self.language or primary(document.language), tuple(self.add), tuple(self.keep))
        if not stop:
            document.count("stop_words.unknown_language")
            return text
        new = "".join(_remove(block, stop) for block in blocks(text))
        return text if len(new) == len(text) else new


def _remove(text: str, stop: frozenset[str]) -> str:
    parts = _WORD_AND_SPACES.split(text)  # between, word, spaces, between, word, spaces, ... between
    for i in [i for i, word in enumerate(parts[1::3]) if word.lower() in stop]:
        parts[3 * i + 1] = parts[3 * i + 2] = ""
    return "".join(parts)


@functools.cache
def _stop_words(language: str, add: tuple[str, ...], keep: tuple[str, ...]) -> frozenset[str]:
    words = require("classic", "stopwordsiso").stopwords({"nb": "no", "nn": "no"}.get(language, language))
    lowered = {word.lower() for word in (*words, *add)} - {word.lower() for word in keep}
    return frozenset(lowered | {word.replace("'", "’") for word in lowered})
