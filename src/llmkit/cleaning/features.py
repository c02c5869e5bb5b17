"""What every step may ask about a text, computed once: characters by kind, words and lines with their hashes.

A word is a run of letters, marks and digits; in scripts written without spaces (Chinese, Japanese, Thai ...) each
character is a word, so that n-grams of words are n-grams of characters there. Symbols are tokens, too: a punctuation
mark, or a run of one and the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from llmkit.cleaning import kernels, scanning, wrapping
from llmkit.cleaning.token_scanning import scan_tokens
from llmkit.data.corpus import Document
from llmkit.text.characters import SCRIPTS, character_table, code_points

SYMBOL, WORD, CHARACTER = 0, 1, 2
"""Kinds of tokens: punctuation and symbols, words of spaced scripts, characters of unspaced scripts."""


T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - used as a decorator
    """What `functools.cached_property` is, without the lock that it takes until Python 3.12: a microsecond each."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn under which name the value is kept."""
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> T:
        """Compute the value and put it where Python looks first."""
        value = instance.__dict__[self.name] = self.function(instance)
        return value


class Tokens(NamedTuple):
    """Tokens of a text, in order.

    Attributes:
        starts: `[tokens]` int32, first character.
        ends: `[tokens]` int32, one past the last character.
        hashes: `[tokens]` uint64 hash of the lower-cased token.
        kinds: `[tokens]` uint8, `SYMBOL`, `WORD` or `CHARACTER`.
    """

    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    kinds: NDArray[np.uint8]


class Spans(NamedTuple):
    """Lines or paragraphs of a text that hold more than whitespace, in order, without whitespace around them.

    Attributes:
        starts: `[spans]` int32, first character that is not whitespace.
        ends: `[spans]` int32, one past the last such character.
        hashes: `[spans]` uint64 hash of what lies between, case-sensitive.
    """

    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    hashes: NDArray[np.uint64]

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Characters per span."""
        return self.ends - self.starts


class Totals(NamedTuple):
    """Numbers of characters and tokens of a text.

    Attributes:
        letters: Letters of all scripts.
        digits: Decimal digits.
        upper: Upper-case letters.
        spaces: Whitespace of all kinds, newlines included.
        newlines: Line feeds.
        invisible: Controls and other characters that no reader sees.
        words: Tokens that are words or characters of unspaced scripts.
        word_chars: Characters in those.
        lettered_words: Those with at least one letter.
        characters: Tokens that are characters of unspaced scripts.
    """

    letters: int
    digits: int
    upper: int
    spaces: int
    newlines: int
    invisible: int
    words: int
    word_chars: int
    lettered_words: int
    characters: int


class LineEnds(NamedTuple):
    """How the lines of a text begin and end.

    Attributes:
        terminal: Lines that end a sentence: `.` `!` `?` and their kin, not the ellipsis, in any script.
        bullets: Lines that begin with a bullet or a dash.
        ellipses: Lines that end with an ellipsis, one character or three points.
    """

    terminal: int
    bullets: int
    ellipses: int


class Words(NamedTuple):
    """Words as they stand between blanks; in scripts without spaces, characters.

    Attributes:
        words: Those with a letter or digit; a URL is one.
        chars: Characters in them, with the marks that touch them.
        lettered: Those with a letter.
        marks: Runs of marks between blanks, such as `-` and `|`.
        addresses: Those that are URLs.
        address_chars: Characters in URLs.
    """

    words: int
    chars: int
    lettered: int
    marks: int
    addresses: int
    address_chars: int


class Units(NamedTuple):
    """Lines as their author meant them: those of a wrapped paragraph are one.

    Attributes:
        spans: Where they are.
        joined: `[lines]` bool, the lines that continue the one before.
        closed: `[units]` bool, those that end a sentence, closing quotes and brackets behind it not counted.
        worded: `[units]` bool, those with a word: not rules of dashes.
    """

    spans: Spans
    joined: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    worded: NDArray[np.bool_]


class Features:
    """Everything computed about one text, each part when it is first asked for.

    Args:
        text: The text.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @once
    def codes(self) -> NDArray[np.uint32]:
        """`[characters]` code points; positions are those of the string."""
        return code_points(self.text)

    @once
    def _scan(self) -> tuple[Tokens, Totals, NDArray[np.int64]]:
        size = len(self.codes)
        starts, ends = np.empty(size, np.int32), np.empty(size, np.int32)
        hashes, kinds = np.empty(size, np.uint64), np.empty(size, np.uint8)
        totals, scripts = np.zeros(len(Totals._fields), np.int64), np.zeros(len(SCRIPTS), np.int64)
        count = scan_tokens(self.codes, *character_table(), starts, ends, hashes, kinds, totals, scripts)
        return (
            Tokens(starts[:count], ends[:count], hashes[:count], kinds[:count]),
            Totals(*totals.tolist()),
            scripts,
        )

    @property
    def tokens(self) -> Tokens:
        """Words and symbols, in order."""
        return self._scan[0]

    @property
    def totals(self) -> Totals:
        """Numbers of characters and tokens by kind."""
        return self._scan[1]

    @once
    def scripts(self) -> dict[str, int]:
        """Letters and marks per script that occurs; `Common` counts all other characters."""
        return {SCRIPTS[i]: count for i, count in enumerate(self._scan[2].tolist()) if count}

    @once
    def _words(self) -> tuple[Tokens, Words, NDArray[np.uint64]]:
        tokens, info = self.tokens, character_table().info
        starts, ends, cased, kinds, folded, counts = scanning.split_words(
            self.codes, info, tokens.starts, tokens.ends, tokens.hashes, tokens.kinds
        )
        return Tokens(starts, ends, cased, kinds), Words(*counts), folded

    @property
    def words(self) -> Words:
        """Words between blanks."""
        return self._words[1]

    @once
    def word_hashes(self) -> NDArray[np.uint64]:
        """`[words]` hashes of the tokens that are no symbols: what shingles and n-grams are made of."""
        tokens = self.tokens
        if self.totals.words == len(tokens.kinds):
            return tokens.hashes
        # Whoever counts the words has them as well.
        return self._words[2] if "_words" in self.__dict__ else tokens.hashes[tokens.kinds != SYMBOL]

    @property
    def cased_words(self) -> Tokens:
        """Tokens that are no symbols, hashed so that `The` is not `the`."""
        return self._words[0]

    @once
    def cased_hashes(self) -> NDArray[np.uint64]:
        """`[tokens]` hashes that tell `The` from `the`."""
        cased: NDArray[np.uint64] = scanning.cased_hashes(
            self.codes, character_table().info, self.tokens.starts, self.tokens.hashes
        )
        return cased

    @once
    def lines(self) -> Spans:
        """Lines, cut at line feeds only."""
        size = self.totals.newlines + 1
        starts, ends, hashes = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.uint64)
        count = scanning.scan_lines(self.codes, character_table().info, starts, ends, hashes)
        return Spans(starts[:count], ends[:count], hashes[:count])

    @once
    def units(self) -> Units:
        """Lines, those of wrapped paragraphs joined."""
        lines, info = self.lines, character_table().info
        joined, closed, worded, count = wrapping.find_units(
            self.codes, info, lines.starts, lines.ends, self.totals.characters
        )
        if not count:
            return Units(lines, joined, closed, worded)
        firsts = np.flatnonzero(~joined)
        lasts = np.append(firsts[1:], len(joined)) - 1
        hashes = wrapping.unit_hashes(lines.hashes, joined)
        return Units(Spans(lines.starts[firsts], lines.ends[lasts], hashes), joined, closed[lasts], worded[firsts])

    @once
    def paragraphs(self) -> Spans:
        """Paragraphs, cut where one or more lines are blank."""
        return Spans(*scanning.join_lines(self.codes, *self.lines))

    @once
    def line_ends(self) -> LineEnds:
        """How the lines begin and end."""
        return LineEnds(*scanning.line_ends(self.codes, character_table().info, self.lines.starts, self.lines.ends))

    @once
    def unit_ends(self) -> LineEnds:
        """How the lines begin and end, those of wrapped paragraphs joined."""
        spans = self.units.spans
        if spans is self.lines:
            return self.line_ends
        return LineEnds(*scanning.line_ends(self.codes, character_table().info, spans.starts, spans.ends))

    @once
    def duplicate_lines(self) -> tuple[int, int]:
        """Lines that are copies of an earlier one, and the characters in them."""
        copies, chars = kernels.duplicates(self.lines.hashes, self.lines.lengths)
        return copies, chars


def features(document: Document) -> Features:
    """Return the features of a document's text, shared by all steps until one of them changes the text."""
    cached: Features | None = document.cached
    if cached is None or cached.text is not document.text:
        cached = document.cached = Features(document.text)
    return cached
