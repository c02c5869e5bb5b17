"""Remove words that carry little meaning (the, of; 的, 了), for classic text mining."""

from __future__ import annotations

import functools
import re
from typing import Annotated

from pydantic import AfterValidator

from llmkit.cleaning.steps import Rewrite
from llmkit.cleaning.steps._words import WORD, blocks, primary
from llmkit.core.extras import require
from llmkit.data.corpus import Document
from llmkit.text.languages import check_language

_WORD_AND_SPACES = re.compile(WORD.pattern + "([ \t\u3000]*)")

_NEEDS = ("classic", "stopwordsiso")


class StopWords(Rewrite):
    """Remove the stop words of the document's language, with the spaces behind them (stopwords-iso, 58 languages).

    Chinese has to be cut into words before (`segment`): in raw Chinese no word stands alone, so nothing is removed.
    Needs the extra `classic`.
    """

    language: Annotated[str, AfterValidator(check_language)] | None = None
    """Language of all documents, as a primary tag; null for each document's own."""
    add: list[str] = []
    """Words to remove as well, in any language."""
    keep: list[str] = []
    """Words that stay although they are on the list, such as `not` where a sentiment depends on it."""

    def needs(self) -> tuple[str, str]:
        """Return what brings the lists."""
        return _NEEDS

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
        word = 3 * i + 1
        ends = not parts[word + 1] or parts[word + 2].startswith(("\n", "\r"))
        parts[word] = parts[word + 1] = ""
        if ends:  # the spaces before it would be left over, at the end of a line or before a comma
            while word > 0 and not parts[word] and not parts[word - 1]:
                word -= 3
            if word > 0 and parts[word]:
                parts[word + 1] = ""
            elif word > 0:
                parts[word - 1] = _without_spaces(parts[word - 1])
    return "".join(parts)


def _without_spaces(between: str) -> str:
    stripped = between.rstrip(" \t\u3000")
    return stripped if stripped and stripped[-1] not in "\r\n" else between  # the indentation of a line stays


@functools.cache
def _stop_words(language: str, add: tuple[str, ...], keep: tuple[str, ...]) -> frozenset[str]:
    words = require(*_NEEDS).stopwords({"nb": "no", "nn": "no"}.get(language, language))
    lowered = {word.lower() for word in (*words, *add)} - {word.lower() for word in keep}
    return frozenset(lowered | {word.replace("'", "’") for word in lowered})
