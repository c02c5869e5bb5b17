"""Remove lines that are page furniture: cookie notices, menus, share buttons, lines of symbols, lines by pattern."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from llmkit.cleaning.steps import Drop, Rewrite
from llmkit.cleaning.steps._lists import Pattern
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.features import Features

_BLANK_LINES = re.compile(r"\n{3,}")
_MENU_WORDS = 4
_MENU_CHARS = 24


class Lines(Rewrite):
    """Remove lines by what they say and how they look; drop the document when little is left of it.

    The report counts removed lines as `lines.REASON`. Blank lines between kept lines stay. Not for code, nor for
    Markdown with rules and tables: `symbols` removes their lines.
    """

    by_line: ClassVar[bool] = True

    boilerplate: bool = True
    """Remove short lines with a built-in phrase in English or Chinese: with "all rights reserved" or a cookie notice
    anywhere, with "share this", "read more", 责任编辑 or 上一篇 at their beginning."""
    phrases: list[str] = []
    """More phrases; they match whole words, upper and lower case alike."""
    max_phrase_line_chars: int = Field(120, ge=1)
    """Longest line that a phrase removes, in characters: a longer one is prose that mentions it."""
    patterns: list[Pattern] = []
    """Regular expressions; a line in which one is found goes. They see one line at a time, without blanks around it."""
    symbols: bool = True
    """Remove lines without a letter or digit."""
    menu_lines: int | None = Field(8, ge=2)
    """Remove runs of at least this many lines of at most 4 words (24 characters) that do not end in punctuation; blank
    lines between them do not count. Null keeps them."""
    min_words: int | None = Field(None, ge=1)
    """Fewest words of a line; a Chinese character is a word."""
    max_line_chars: int | None = Field(None, ge=1)
    """Longest line, in characters."""
    max_removed: float | None = Field(0.5, ge=0, le=1)
    """Drop the document if more than this share of its characters went."""

    def apply(self, document: Document) -> Drop | None:
        """Rewrite the document, or drop it."""
        before = len(document.text)
        if drop := super().apply(document):
            return drop
        removed = 1 - len(document.text) / before if before else 0.0
        if self.max_removed is not None and removed > self.max_removed:
            return Drop("lines.max_removed", removed, self.max_removed)
        return None

    def rewrite(self, text: str, document: Document) -> str:
        """Return the text without the lines that fall."""
        from llmkit.cleaning.features import Features, features

        found = features(document) if text is document.text else Features(text)
        reasons = self._reasons(found)
        if not reasons:
            return text
        for reason in reasons.values():
            document.count(f"lines.{reason}")
        kept, number = [], 0
        for line in text.split("\n"):
            if line.strip():
                number += 1
                if number - 1 in reasons:
                    continue
            kept.append(line)
        return _BLANK_LINES.sub("\n\n", "\n".join(kept)).strip("\n")

    def _reasons(self, found: Features) -> dict[int, str]:
        """Return the lines that go, numbered among those that are not blank, each with its reason."""
        spans = found.lines
        reasons = self._measure(found) if len(spans.starts) else {}
        compiled = _patterns(tuple(self.patterns))
        if compiled:
            for number, (start, end) in enumerate(zip(spans.starts.tolist(), spans.ends.tolist(), strict=True)):
                if any(pattern.search(found.text[start:end]) for pattern in compiled):
                    reasons.setdefault(number, "patterns")
        if self.boilerplate or self.phrases:
            self._find_phrases(found, reasons)
        return reasons

    def _measure(self, found: Features) -> dict[int, str]:
        """Apply the rules that need numbers only."""
        import numpy as np

        from llmkit.cleaning.steps import _loops

        spans, tokens = found.lines, found.tokens
        words, symbols = (np.zeros(len(spans.starts), np.int32) for _ in range(2))
        last = np.zeros(len(spans.starts), np.uint8)
        _loops.tokens_per_line(spans.ends, tokens.starts, tokens.kinds, words, symbols, last)
        reasons: dict[int, str] = {}
        masks = {"symbols": words == 0} if self.symbols else {}
        if self.min_words is not None:
            masks["min_words"] = words < self.min_words
        if self.max_line_chars is not None:
            masks["max_line_chars"] = spans.lengths > self.max_line_chars
        for reason, mask in masks.items():
            if mask.any():
                for number in np.flatnonzero(mask).tolist():
                    reasons.setdefault(number, reason)
        if self.menu_lines is not None and len(words) >= self.menu_lines:
            short = (words > 0) & (last > 0) & (symbols <= 1) & (spans.lengths <= _MENU_CHARS)
            # The limit is in words: a Chinese menu entry of 6 characters is 3 words.
            short &= (words <= _MENU_WORDS) | ((words == spans.lengths - symbols) & (words <= 2 * _MENU_WORDS))
            for number in _loops.runs(short, self.menu_lines).nonzero()[0].tolist():
                reasons.setdefault(number, "menu")
        return reasons

    def _find_phrases(self, found: Features, reasons: dict[int, str]) -> None:
        from llmkit.cleaning.steps import _phrases

        wanted = _phrases.phrases(tuple(self.phrases), boilerplate=self.boilerplate)
        if wanted is None:
            return
        hits = wanted.find(found)
        if not len(hits):
            return
        spans = found.lines
        numbers = spans.ends.searchsorted(found.tokens.starts[hits], "right")
        for number in dict.fromkeys(numbers.tolist()):
            start, end = int(spans.starts[number]), int(spans.ends[number])
            if end - start <= self.max_phrase_line_chars and number not in reasons:
                reason = wanted.reason(found.text[start:end])
                if reason:
                    reasons[number] = reason


@functools.cache
def _patterns(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)
