"""Drop lists, menus and boilerplate by the rules that FineWeb adds to Gopher's and C4's (Penedo et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps._counted import Counted, cut_units
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.features import Features

_LEAST_ENTRIES = 0.1


class FinewebQuality(Counted):
    """Keep documents whose lines end like sentences, are not mostly short, and do not repeat.

    Thresholds and their names are datatrove's, which made FineWeb (arXiv:2406.17557); null switches a rule off. Lines
    are taken without the blanks around them, blank lines do not count, and those of a hard-wrapped paragraph are one.
    """

    line_punct_thr: float | None = Field(0.12, ge=0, le=1)
    """Least share of lines that end with `.` `!` `?` or their kin in other scripts, closing quotes and brackets after
    it; a last line that was cut in mid-sentence is taken for one."""
    line_punct_exclude_zero: bool = False
    """Keep documents in which no line at all ends so."""
    short_line_thr: float | None = Field(0.67, ge=0, le=1)
    """Largest share of short lines that end without any punctuation: entries of menus and lists. Verse and dialogue
    have short lines that do not; and where a tenth of the text is in such lines, the others are the text."""
    short_line_length: int = Field(30, ge=0)
    """Longest line that is short, in characters."""
    char_duplicates_ratio: float | None = Field(0.01, ge=0, le=1)
    """Most characters in lines that are copies of an earlier one, as a share of all but newlines. Short lines do not
    count: headings, speakers' names, refrains and rules come again in good text."""
    new_line_ratio: float | None = Field(0.3, ge=0)
    """Most line breaks per word, those behind the end of a sentence and blank lines not counted."""

    def apply(self, document: Document) -> Drop | None:
        """Return the first rule that fails; a document without text fails the first."""
        from llmkit.cleaning.features import features

        found = features(document)
        values = self._as_papers(found) if self.manner == "papers" else self._as_datatrove(found)
        for rule, share in values:
            limit = getattr(self, rule)
            if limit is None or (rule == "line_punct_thr" and not share and self.line_punct_exclude_zero):
                continue
            if share < limit if rule == "line_punct_thr" else share > limit:
                return Drop(f"fineweb_quality.{rule}", share, limit)
        return None

    def _as_papers(self, found: Features) -> Iterator[tuple[str, float]]:
        from llmkit.cleaning import scanning
        from llmkit.text.characters import character_table

        (spans, _, closed, worded), words, info = found.units, found.words, character_table().info
        num_lines = len(closed) or 1
        terminal, breaks, entries, entry_chars, copied = scanning.profile_units(
            found.codes, info, spans.starts, spans.ends, closed, worded, spans.hashes, self.short_line_length
        )
        yield "new_line_ratio", breaks / (words.words + words.marks or 1)
        if self.line_punct_thr is not None and terminal / num_lines < self.line_punct_thr:
            terminal += cut_units(found)  # rarely: it searches the last line
        yield "line_punct_thr", terminal / num_lines
        yield "short_line_thr", entries / num_lines if entry_chars >= _LEAST_ENTRIES * len(found.text) else 0.0
        yield "char_duplicates_ratio", copied / (len(found.text) - found.totals.newlines or 1)

    def _as_datatrove(self, found: Features) -> Iterator[tuple[str, float]]:
        totals, lines = found.totals, found.lines
        num_lines = len(lines.starts) or 1
        yield "new_line_ratio", totals.newlines / (len(found.tokens.kinds) or 1)
        yield "line_punct_thr", found.line_ends.terminal / num_lines
        yield "short_line_thr", int((lines.lengths <= self.short_line_length).sum()) / num_lines
        yield "char_duplicates_ratio", found.duplicate_lines[1] / (len(found.text) - totals.newlines or 1)
