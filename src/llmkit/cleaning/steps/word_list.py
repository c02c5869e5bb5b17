"""Drop documents that contain listed words or phrases, or take the words out."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from llmkit.cleaning.steps import Drop, Rewrite
from llmkit.cleaning.steps._lists import find_list, read_list
from llmkit.cleaning.steps._words import blocks
from llmkit.core.errors import ConfigError
from llmkit.data.corpus import Document
from llmkit.text.characters import WORD, flags_of
from llmkit.text.words import count_words

_JOINERS = "\u200c\u200d"


class WordList(Rewrite):
    """Look for listed words and phrases in the text, all at once (Aho-Corasick).

    In scripts with spaces only whole words count: `ass` is not in `class`, but it is in `看ass图`. In Chinese,
    Japanese, Thai and their like there is no border to look for, so any occurrence counts.
    """

    words: list[str] = []
    """Words and phrases."""
    path: str | None = None
    """File with more of them, one a line."""
    action: Literal["drop", "redact"] = "drop"
    """Drop the document, or replace each occurrence."""
    min_count: int = Field(1, ge=1)
    """Occurrences from which on a document is dropped; overlapping ones count once."""
    min_ratio: float = Field(0.0, ge=0, le=1)
    """Share of the document's words, besides, from which on it is dropped; a character of an unspaced script counts
    as a word, and a listed one as many as it has."""
    replacement: str = ""
    """What stands in the place of a redacted word."""
    case_sensitive: bool = False
    """Tell capitals from small letters."""

    def reads(self) -> list[Path]:
        """Return the list file, so that its content is part of the run's identity.

        Raises:
            ConfigError: There is nothing to look for.
            DataError: The file is not there.
        """
        if not self.words and not self.path:
            raise ConfigError("word_list.words: no words are given", hint="words: [...], or path: FILE")
        return [find_list(self.path, role="word_list.path")] if self.path else []

    def apply(self, document: Document) -> Drop | None:
        """Return why the document falls, if it does; or redact it."""
        if self.action == "redact":
            return super().apply(document)
        count = covered = 0
        for block in blocks(document.text):
            found = self.find(block)
            count += len(found)
            if self.min_ratio:
                covered += count_words(" ".join(block[start:stop] for start, stop in found))
        if count < self.min_count:
            return None
        if not self.min_ratio:
            return Drop("word_list.min_count", count, self.min_count)
        ratio = covered / max(1, sum(map(count_words, blocks(document.text))))
        return Drop("word_list.min_ratio", round(ratio, 4), self.min_ratio) if ratio >= self.min_ratio else None

    def rewrite(self, text: str, document: Document) -> str:
        """Return the text with its listed words replaced."""
        pieces, count = [], 0
        for block in blocks(text):
            end = 0
            for start, stop in self.find(block):
                pieces += [block[end:start], self.replacement]
                end, count = stop, count + 1
            pieces.append(block[end:])
        if not count:
            return text
        document.count("word_list.redacted", count)
        return "".join(pieces)

    def find(self, text: str) -> list[tuple[int, int]]:
        """Return start and end of each occurrence, in order; of overlapping ones the first, and there the longest."""
        # All overlapping matches, since the longest may be cut short by a border where one within it is not.
        haystack = text if self.case_sensitive else _lower(text)
        matches = self._automaton.find_matches_as_indexes(haystack, overlapping=True) if self._automaton else []
        found: list[tuple[int, int]] = []
        for start, negated in sorted((start, -stop) for _, start, stop in matches):
            if (not found or start >= found[-1][1]) and _is_whole(text, start, -negated):
                found.append((start, -negated))
        return found

    @cached_property
    def _automaton(self) -> Any:
        from ahocorasick_rs import AhoCorasick

        listed = self.words + (read_list(self.path, role="word_list.path") if self.path else [])
        words = {word if self.case_sensitive else _lower(word) for word in listed if word.strip()}
        return AhoCorasick(sorted(words)) if words else None

    def __reduce__(self) -> tuple[Any, ...]:
        # The automaton cannot be pickled; each worker builds its own.
        return type(self).model_validate, (self.model_dump(),)


def _lower(text: str) -> str:
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    # `İ` becomes two characters: positions must stay those of the text.
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)


def _is_whole(text: str, start: int, stop: int) -> bool:
    return not (
        (start and _joined(text[start - 1], text[start])) or (stop < len(text) and _joined(text[stop - 1], text[stop]))
    )


def _joined(left: str, right: str) -> bool:
    return _in_word(left) and _in_word(right)


def _in_word(char: str) -> bool:
    # Nothing joins characters of scripts without spaces: there a listed word counts wherever it stands.
    return char in _JOINERS or (char != "_" and flags_of(char) & WORD != 0)
