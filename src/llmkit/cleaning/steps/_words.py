"""What a word is, and how to go through a text word by word without holding all of its words at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Annotated

from pydantic import AfterValidator

from llmkit.cleaning.steps import Rewrite
from llmkit.data.corpus import Document
from llmkit.text.characters import has_script
from llmkit.text.languages import check_language

# Combining marks are no part of `\w`, which would cut Hindi, Arabic and Hebrew words to pieces. Written out, since the
# table of characters knows no zero-width joiners in words and would be built as soon as a step is named.
_MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0970-\u0dff\u200c\u200d"
)
WORD = re.compile(rf"([\w{_MARKS}]+(?:['’][\w{_MARKS}]+)*)")
"""A word, with the apostrophes within it; one group, so that `split` returns words at the odd positions."""
BLOCK_CHARS = 2**20
MEMO_WORDS = 2**18
MAX_WORD_CHARS = 64
"""Longer runs of letters are no words (base64, text without spaces): they stay, and are not remembered."""


def primary(language: str) -> str:
    """Return the first part of a BCP 47 tag, in lower case: `zh` for `zh-Hant`."""
    return language.partition("-")[0].lower()


def is_chinese(text: str, document: Document) -> bool:
    """Whether Han characters in the text are Chinese: not in documents that are Japanese or Korean."""
    language = primary(document.language)
    return language not in ("ja", "ko") and not (language == "und" and has_script(text, "Kana"))


def blocks(text: str, size: int = BLOCK_CHARS) -> Iterator[str]:
    """Yield the text in pieces of at most `size` characters, cut behind a newline or else a space where there is one.

    A list of all words takes 20 times the memory of the text: a document of 100 MB would need gigabytes.
    """
    start = 0
    while len(text) - start > size:
        stop = start + size
        cut = max(text.rfind("\n", start, stop), 0) or max(text.rfind(" ", start, stop), 0)
        stop = cut + 1 if cut > start else stop
        yield text[start:stop]
        start = stop
    yield text[start:] if start else text


class Memo(dict[str, str]):
    """A dictionary that fills itself, so that each word is looked up or computed once, not once per occurrence.

    Args:
        function: What to do with a lower-case or capitalized word.
    """

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self.function = function

    def __missing__(self, word: str) -> str:
        """Compute and remember; words with digits and underscores are names and numbers, which stay."""
        if len(word) > MAX_WORD_CHARS:
            return word
        if len(self) >= MEMO_WORDS:
            self.clear()
        letters = "_" not in word and not any(map(str.isdigit, word))
        self[word] = value = self.function(word) if letters else word
        return value


class WordRewrite(Rewrite):
    """A step that puts one word in another's place, with knowledge of the language."""

    language: Annotated[str, AfterValidator(check_language)] | None = None
    """Language of all documents, as a primary tag; null for each document's own."""

    def memo(self, language: str) -> Memo | None:
        """Return the words' replacements, or None for a language that is not known."""
        raise NotImplementedError

    def rewrite(self, text: str, document: Document) -> str:
        """Return the text with its words replaced; what lies between them stays."""
        memo = self.memo(self.language or primary(document.language))
        if memo is None:
            document.count(f"{self.type_name}.unknown_language")
            return text
        new = "".join(_replace(block, memo) for block in blocks(text))
        return text if new == text else new


def _replace(text: str, memo: Memo) -> str:
    parts = WORD.split(text)
    parts[1::2] = [memo[word] for word in parts[1::2]]
    return "".join(parts)
