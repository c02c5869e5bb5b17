"""Drop documents that repeat themselves, by the rules of Gopher (Rae et al. 2021, arXiv:2112.11446, table A1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps._counted import Counted
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.features import Features, Tokens

_GRAM_RULES = (*(f"top_{order}_gram" for order in range(2, 5)), *(f"dup_{order}_gram" for order in range(5, 11)))


class GopherRepetition(Counted):
    """Keep documents whose repeated lines, paragraphs and n-grams cover little of the text.

    Thresholds are the published ones; null switches a rule off. All are shares of the document's characters but for
    `dup_line_frac` and `dup_para_frac`, which are shares of lines and paragraphs. An n-gram is a run of words, in
    Chinese of characters; lines without a word (`* * *`) repeat nothing.
    """

    dup_line_frac: float | None = Field(0.30, ge=0, le=1)
    """Largest share of lines that are copies of an earlier one."""
    dup_para_frac: float | None = Field(0.30, ge=0, le=1)
    """Largest share of paragraphs that are copies of an earlier one."""
    dup_line_char_frac: float | None = Field(0.20, ge=0, le=1)
    """Most characters in lines that are copies."""
    dup_para_char_frac: float | None = Field(0.20, ge=0, le=1)
    """Most characters in paragraphs that are copies."""
    top_2_gram: float | None = Field(0.20, ge=0)
    """Most characters in all occurrences of the most frequent 2-gram."""
    top_3_gram: float | None = Field(0.18, ge=0)
    """Most characters in all occurrences of the most frequent 3-gram."""
    top_4_gram: float | None = Field(0.16, ge=0)
    """Most characters in all occurrences of the most frequent 4-gram."""
    dup_5_gram: float | None = Field(0.15, ge=0)
    """Most characters in 5-grams that are copies of an earlier one."""
    dup_6_gram: float | None = Field(0.14, ge=0)
    """Most characters in 6-grams that are copies of an earlier one."""
    dup_7_gram: float | None = Field(0.13, ge=0)
    """Most characters in 7-grams that are copies of an earlier one."""
    dup_8_gram: float | None = Field(0.12, ge=0)
    """Most characters in 8-grams that are copies of an earlier one."""
    dup_9_gram: float | None = Field(0.11, ge=0)
    """Most characters in 9-grams that are copies of an earlier one."""
    dup_10_gram: float | None = Field(0.10, ge=0)
    """Most characters in 10-grams that are copies of an earlier one."""

    def apply(self, document: Document) -> Drop | None:
        """Return the first rule that fails, the cheapest first."""
        if not document.text:
            return None
        from llmkit.cleaning.features import features

        found = features(document)
        if len(found.lines.starts) > 1 and (drop := self._lines(found) or self._paragraphs(found)):
            return drop
        return self._grams(found)

    def _lines(self, found: Features) -> Drop | None:
        if self.dup_line_frac is None and self.dup_line_char_frac is None:
            return None
        if self.manner == "datatrove":
            return self._copies("line", found.duplicate_lines, len(found.lines.starts), len(found.text))
        from llmkit.cleaning import kernels

        spans, lengths = found.units.spans, found.units.spans.lengths
        worded = found.units.worded
        if not worded.all():
            copies = kernels.duplicates(spans.hashes[worded], lengths[worded])
        else:
            copies = kernels.duplicates(spans.hashes, lengths)
        return self._copies("line", copies, len(spans.starts), len(found.text))

    def _paragraphs(self, found: Features) -> Drop | None:
        if self.dup_para_frac is None and self.dup_para_char_frac is None:
            return None
        from llmkit.cleaning import kernels

        spans = found.paragraphs
        return self._copies("para", kernels.duplicates(spans.hashes, spans.lengths), len(spans.starts), len(found.text))

    def _copies(self, unit: str, copies: tuple[int, int], num_spans: int, num_chars: int) -> Drop | None:
        """Judge the number of spans that are copies, and the characters in them."""
        shares = {f"dup_{unit}_frac": copies[0] / (num_spans or 1), f"dup_{unit}_char_frac": copies[1] / num_chars}
        for rule, share in shares.items():
            limit = getattr(self, rule)
            if limit is not None and share > limit:
                return Drop(f"gopher_repetition.{rule}", share, limit)
        return None

    def _tokens(self, found: Features) -> Tokens:
        """Return what n-grams are made of."""
        return found.cased_words if self.manner == "papers" else found.tokens._replace(hashes=found.cased_hashes)

    def _grams(self, found: Features) -> Drop | None:
        from llmkit.cleaning import kernels

        starts, ends, hashes, kinds = self._tokens(found)
        chars = kernels.repetition(hashes, starts, ends, kinds).tolist()
        for rule, covered in zip(_GRAM_RULES, chars, strict=True):
            limit = getattr(self, rule)
            if limit is not None and covered / len(found.text) > limit:
                return Drop(f"gopher_repetition.{rule}", covered / len(found.text), limit)
        return None
