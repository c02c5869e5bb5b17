"""Drop documents that do not look like prose, by Gopher's quality rules (Rae et al. 2021, arXiv:2112.11446)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from pydantic import Field

from llmkit.cleaning.steps import Drop, Step
from llmkit.core.errors import ConfigError
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.features import Features


class GopherQuality(Step):
    """Keep documents with enough words, words of ordinary length, few symbols and lists, and common English words.

    Thresholds are the published ones, as datatrove applies them; null switches a rule off. They suit English and
    languages like it: for Chinese, where every character is a word, take `chinese_quality`.
    """

    min_words: int | None = Field(50, ge=0)
    """Fewest words."""
    max_words: int | None = Field(100_000, ge=1)
    """Most words."""
    min_avg_word_length: float | None = Field(3.0, ge=0)
    """Least mean length of words, in characters."""
    max_avg_word_length: float | None = Field(10.0, ge=0)
    """Greatest mean length of words, in characters."""
    max_hash_ratio: float | None = Field(0.1, ge=0)
    """Most `#` signs per token; a token is a word or a punctuation mark."""
    max_ellipsis_ratio: float | None = Field(0.1, ge=0)
    """Most ellipses (`...` or `…`) per token."""
    max_bullet_lines_ratio: float | None = Field(0.9, ge=0, le=1)
    """Largest share of lines that begin with a bullet or a dash; blank lines count as lines."""
    max_ellipsis_lines_ratio: float | None = Field(0.3, ge=0, le=1)
    """Largest share of lines that end with an ellipsis; blank lines count as lines."""
    min_alpha_words_ratio: float | None = Field(0.8, ge=0, le=1)
    """Least share of tokens with at least one letter."""
    min_stop_words: int | None = Field(2, ge=0)
    """Fewest different words out of `stop_words`."""
    stop_words: list[str] = ["the", "be", "to", "of", "and", "that", "have", "with"]
    """Words that prose of the language can hardly do without; upper and lower case are the same."""

    def apply(self, document: Document) -> Drop | None:
        """Return the first rule that fails, the cheapest first."""
        from llmkit.cleaning.features import features

        found = features(document)
        return self._words(found) or self._symbols(found) or self._lines(found) or self._stop_words(found)

    def _words(self, found: Features) -> Drop | None:
        words, chars = found.totals.words, found.totals.word_chars
        if self.min_words is not None and words < self.min_words:
            return Drop("gopher_quality.min_words", words, self.min_words)
        if self.max_words is not None and words > self.max_words:
            return Drop("gopher_quality.max_words", words, self.max_words)
        mean = chars / (words or 1)
        if self.min_avg_word_length is not None and mean < self.min_avg_word_length:
            return Drop("gopher_quality.min_avg_word_length", mean, self.min_avg_word_length)
        if self.max_avg_word_length is not None and mean > self.max_avg_word_length:
            return Drop("gopher_quality.max_avg_word_length", mean, self.max_avg_word_length)
        return None

    def _symbols(self, found: Features) -> Drop | None:
        num_tokens = len(found.tokens.kinds) or 1
        hashes = found.text.count("#") / num_tokens
        if self.max_hash_ratio is not None and hashes > self.max_hash_ratio:
            return Drop("gopher_quality.max_hash_ratio", hashes, self.max_hash_ratio)
        ellipses = (found.text.count("...") + found.text.count("…")) / num_tokens
        if self.max_ellipsis_ratio is not None and ellipses > self.max_ellipsis_ratio:
            return Drop("gopher_quality.max_ellipsis_ratio", ellipses, self.max_ellipsis_ratio)
        letters = found.totals.lettered_words / num_tokens
        if self.min_alpha_words_ratio is not None and letters < self.min_alpha_words_ratio:
            return Drop("gopher_quality.min_alpha_words_ratio", letters, self.min_alpha_words_ratio)
        return None

    def _lines(self, found: Features) -> Drop | None:
        ends = found.line_ends
        num_lines = found.totals.newlines + (not found.text.endswith("\n"))
        bullets = ends.bullets / num_lines
        if self.max_bullet_lines_ratio is not None and bullets > self.max_bullet_lines_ratio:
            return Drop("gopher_quality.max_bullet_lines_ratio", bullets, self.max_bullet_lines_ratio)
        ellipses = ends.ellipses / num_lines
        if self.max_ellipsis_lines_ratio is not None and ellipses > self.max_ellipsis_lines_ratio:
            return Drop("gopher_quality.max_ellipsis_lines_ratio", ellipses, self.max_ellipsis_lines_ratio)
        return None

    def _stop_words(self, found: Features) -> Drop | None:
        if not self.min_stop_words:
            return None
        from llmkit.cleaning import kernels

        wanted = _word_hashes(tuple(self.stop_words))
        number = int(kernels.distinct_members(found.cased_hashes, wanted, self.min_stop_words))
        if number < self.min_stop_words:
            return Drop("gopher_quality.min_stop_words", number, self.min_stop_words)
        return None


@functools.cache
def _word_hashes(words: tuple[str, ...]) -> Any:
    """Return the sorted distinct hashes of words as the tokens have them."""
    import numpy as np

    from llmkit.cleaning.features import Features

    hashes = []
    for word in words:
        found = Features(word).word_hashes
        if len(found) != 1:
            raise ConfigError(
                f"gopher_quality.stop_words: '{word}' is {len(found)} words, not one",
                hint="list each word by itself; for Chinese list single characters",
            )
        hashes.append(found[0])
    return np.unique(np.array(hashes, np.uint64))
