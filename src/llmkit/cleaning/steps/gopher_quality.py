"""Drop documents that do not look like prose, by Gopher's quality rules (Rae et al. 2021, arXiv:2112.11446)."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps._counted import FUNCTION_WORDS, STOP_WORDS, Counted
from llmkit.core.errors import ConfigError
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.features import Features


class _Counts(NamedTuple):
    """What the rules compare: words and their characters, tokens and those with a letter, lines by kind."""

    words: int
    chars: int
    tokens: int
    lettered: int
    lines: int
    bullets: int
    ellipses: int


class GopherQuality(Counted):
    """Keep documents with enough words, words of ordinary length, few symbols and lists, and common English words.

    Thresholds are the published ones; null switches a rule off. They suit English and languages like it: for Chinese,
    where every character is a word, take `chinese_quality`.
    """

    min_words: int | None = Field(50, ge=0)
    """Fewest words."""
    max_words: int | None = Field(100_000, ge=1)
    """Most words."""
    min_avg_word_length: float | None = Field(3.0, ge=0)
    """Least mean length of words, in characters."""
    max_avg_word_length: float | None = Field(10.0, ge=0)
    """Greatest mean length of words, in characters; URLs are left out."""
    max_hash_ratio: float | None = Field(0.1, ge=0)
    """Most `#` signs per word."""
    max_ellipsis_ratio: float | None = Field(0.1, ge=0)
    """Most ellipses (`...` or `…`) per word."""
    max_bullet_lines_ratio: float | None = Field(0.9, ge=0, le=1)
    """Largest share of lines that begin with a bullet or a dash."""
    max_ellipsis_lines_ratio: float | None = Field(0.3, ge=0, le=1)
    """Largest share of lines that end with an ellipsis."""
    min_alpha_words_ratio: float | None = Field(0.8, ge=0, le=1)
    """Least share of words with at least one letter, marks that stand alone between blanks among them."""
    min_stop_words: int | None = Field(2, ge=0)
    """Fewest different words out of `stop_words`."""
    stop_words: list[str] = STOP_WORDS
    """Words that prose of the language can hardly do without; upper and lower case are the same."""
    min_function_words_ratio: float | None = Field(None, ge=0, le=1)
    """Least share of words out of `function_words`; null, the default, does not count them. Not in the paper: two stop
    words in a long text mean little, while speech and stories have a half, manuals a third, and search terms, menus and
    scans gone wrong less than a fifth."""
    function_words: list[str] = FUNCTION_WORDS
    """Words that hold the sentences of the language together; upper and lower case are the same."""

    def apply(self, document: Document) -> Drop | None:
        """Return the first rule that fails, the cheapest first."""
        from llmkit.cleaning.features import features

        found = features(document)
        counts = _as_papers(found) if self.manner == "papers" else _as_datatrove(found)
        return self._words(counts) or self._symbols(found, counts) or self._lines(counts) or self._terms(found, counts)

    def _words(self, counts: _Counts) -> Drop | None:
        if self.min_words is not None and counts.words < self.min_words:
            return Drop("gopher_quality.min_words", counts.words, self.min_words)
        if self.max_words is not None and counts.words > self.max_words:
            return Drop("gopher_quality.max_words", counts.words, self.max_words)
        mean = counts.chars / (counts.words or 1)
        if self.min_avg_word_length is not None and mean < self.min_avg_word_length:
            return Drop("gopher_quality.min_avg_word_length", mean, self.min_avg_word_length)
        if self.max_avg_word_length is not None and mean > self.max_avg_word_length:
            return Drop("gopher_quality.max_avg_word_length", mean, self.max_avg_word_length)
        return None

    def _symbols(self, found: Features, counts: _Counts) -> Drop | None:
        hashes = found.text.count("#") / (counts.tokens or 1)
        if self.max_hash_ratio is not None and hashes > self.max_hash_ratio:
            return Drop("gopher_quality.max_hash_ratio", hashes, self.max_hash_ratio)
        ellipses = (found.text.count("...") + found.text.count("…")) / (counts.tokens or 1)
        if self.max_ellipsis_ratio is not None and ellipses > self.max_ellipsis_ratio:
            return Drop("gopher_quality.max_ellipsis_ratio", ellipses, self.max_ellipsis_ratio)
        letters = counts.lettered / (counts.tokens or 1)
        if self.min_alpha_words_ratio is not None and letters < self.min_alpha_words_ratio:
            return Drop("gopher_quality.min_alpha_words_ratio", letters, self.min_alpha_words_ratio)
        return None

    def _lines(self, counts: _Counts) -> Drop | None:
        bullets = counts.bullets / (counts.lines or 1)
        if self.max_bullet_lines_ratio is not None and bullets > self.max_bullet_lines_ratio:
            return Drop("gopher_quality.max_bullet_lines_ratio", bullets, self.max_bullet_lines_ratio)
        ellipses = counts.ellipses / (counts.lines or 1)
        if self.max_ellipsis_lines_ratio is not None and ellipses > self.max_ellipsis_lines_ratio:
            return Drop("gopher_quality.max_ellipsis_lines_ratio", ellipses, self.max_ellipsis_lines_ratio)
        return None

    def _terms(self, found: Features, counts: _Counts) -> Drop | None:
        return self._stop_words(found) or self._function_words(found, counts)

    def _stop_words(self, found: Features) -> Drop | None:
        if not self.min_stop_words:
            return None
        from llmkit.cleaning import kernels

        wanted = _word_hashes(tuple(self.stop_words), "stop_words")
        number = int(kernels.distinct_members(found.cased_words.hashes, wanted, self.min_stop_words))
        if number < self.min_stop_words:
            return Drop("gopher_quality.min_stop_words", number, self.min_stop_words)
        return None

    def _function_words(self, found: Features, counts: _Counts) -> Drop | None:
        limit = self.min_function_words_ratio
        if limit is None or not counts.tokens:
            return None
        from llmkit.cleaning import kernels

        enough = math.ceil(limit * counts.tokens)
        wanted = _word_hashes(tuple(self.function_words), "function_words")
        number = int(kernels.members_reach(found.word_hashes, wanted, enough))
        if number < enough:
            return Drop("gopher_quality.min_function_words_ratio", number / counts.tokens, limit)
        return None


def _as_papers(found: Features) -> _Counts:
    words, ends = found.words, found.unit_ends
    prose = words.words - words.addresses
    # A mean over words: the URLs count as words, but with the mean length of the others.
    chars = round((words.chars - words.address_chars) * words.words / prose) if prose else words.chars
    return _Counts(
        words.words,
        chars,
        words.words + words.marks,
        words.lettered,
        len(found.units.closed),
        ends.bullets,
        ends.ellipses,
    )


def _as_datatrove(found: Features) -> _Counts:
    """Count as datatrove does: tokens of spaCy's kind; blank lines are lines."""
    totals, ends, num_tokens = found.totals, found.line_ends, len(found.tokens.kinds)
    num_lines = totals.newlines + (not found.text.endswith("\n"))
    words, chars, lettered = totals.words, totals.word_chars, totals.lettered_words
    return _Counts(words, chars, num_tokens, lettered, num_lines, ends.bullets, ends.ellipses)


@functools.cache
def _word_hashes(words: tuple[str, ...], field: str) -> Any:
    """Return the sorted distinct hashes of words as the tokens have them."""
    import numpy as np

    from llmkit.cleaning.features import Features

    hashes = []
    for word in words:
        found = Features(word).word_hashes
        if len(found) != 1:
            raise ConfigError(
                f"gopher_quality.{field}: '{word}' is {len(found)} words, not one",
                hint="list each word by itself; for Chinese list single characters",
            )
        hashes.append(found[0])
    return np.unique(np.array(hashes, np.uint64))
