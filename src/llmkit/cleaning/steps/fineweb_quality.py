"""Drop lists, menus and boilerplate by the rules that FineWeb adds to Gopher's and C4's (Penedo et al. 2024)."""

from __future__ import annotations

from pydantic import Field

from llmkit.cleaning.steps import Drop, Step
from llmkit.data.corpus import Document


class FinewebQuality(Step):
    """Keep documents whose lines end like sentences, are not mostly short, and do not repeat.

    Thresholds and their names are datatrove's, which made FineWeb (arXiv:2406.17557); null switches a rule off. Lines
    are taken without the blanks around them, and blank lines do not count as lines.
    """

    line_punct_thr: float | None = Field(0.12, ge=0, le=1)
    """Least share of lines that end with `.` `!` `?` or their kin in other scripts."""
    line_punct_exclude_zero: bool = False
    """Keep documents in which no line at all ends so."""
    short_line_thr: float | None = Field(0.67, ge=0, le=1)
    """Largest share of short lines."""
    short_line_length: int = Field(30, ge=0)
    """Longest line that is short, in characters."""
    char_duplicates_ratio: float | None = Field(0.01, ge=0, le=1)
    """Most characters in lines that are copies of an earlier one, as a share of all but newlines."""
    new_line_ratio: float | None = Field(0.3, ge=0)
    """Most newlines per token; a token is a word or a punctuation mark."""

    def apply(self, document: Document) -> Drop | None:
        """Return the first rule that fails; a document without text fails the first."""
        from llmkit.cleaning.features import features

        found = features(document)
        totals, lines = found.totals, found.lines
        num_lines = len(lines.starts) or 1
        share = totals.newlines / (len(found.tokens.kinds) or 1)
        if self.new_line_ratio is not None and share > self.new_line_ratio:
            return Drop("fineweb_quality.new_line_ratio", share, self.new_line_ratio)
        share = found.line_ends.terminal / num_lines
        if (
            self.line_punct_thr is not None
            and share < self.line_punct_thr
            and (share or not self.line_punct_exclude_zero)
        ):
            return Drop("fineweb_quality.line_punct_thr", share, self.line_punct_thr)
        share = int((lines.lengths <= self.short_line_length).sum()) / num_lines
        if self.short_line_thr is not None and share > self.short_line_thr:
            return Drop("fineweb_quality.short_line_thr", share, self.short_line_thr)
        share = found.duplicate_lines[1] / (len(found.text) - totals.newlines or 1)
        if self.char_duplicates_ratio is not None and share > self.char_duplicates_ratio:
            return Drop("fineweb_quality.char_duplicates_ratio", share, self.char_duplicates_ratio)
        return None
