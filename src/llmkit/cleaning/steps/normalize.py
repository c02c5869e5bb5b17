"""Bring text into one form: Unicode NFC, newline line ends, no control or zero-width characters, no trailing blanks."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from pydantic import Field

from llmkit.cleaning.steps import Rewrite
from llmkit.data.corpus import Document

_BLANKS = " \t\u3000\xa0"

# C0 and C1 controls but tab and newline, zero-width space, word joiner, BOM, soft hyphen. Zero-width joiners stay:
# Indic scripts, Persian and emoji sequences are spelled with them.
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\u00ad]")
_ASCII_CONTROLS = bytes({*range(32), 127} - {*b"\t\n"})
_WIDE_INVISIBLE = ("\u200b", "\u2060", "\ufeff", "\xad")
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
# The lookbehind and the possessive `++` keep a line of 10 MB of blanks linear.
_TRAILING = re.compile(rf"(?<![{_BLANKS}])[{_BLANKS}]++$", re.MULTILINE)
_RUN = re.compile(rf"[\t\u3000\xa0][{_BLANKS}]*+|  [{_BLANKS}]*+| [\t\u3000\xa0][{_BLANKS}]*+")
_FULL_WIDTH = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
_HALF_WIDTH = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}


class Normalize(Rewrite):
    """Normalize Unicode, line ends and invisible characters; full-width punctuation is left alone."""

    form: Literal["NFC", "none"] = "NFC"
    """Unicode normalization. NFKC is not offered: it turns `，！` into their half-width forms."""

    max_blank_lines: int = Field(default=2, ge=0)
    """Longest run of empty lines that stays."""

    collapse_spaces: bool = False
    """Turn every run of blanks (tabs, non-breaking and full-width spaces too) into one space and take the indentation
    off lines. For prose only: it ruins code."""

    full_width: Literal["keep", "fold_letters"] = "keep"
    """`fold_letters` turns `Ａ１` into `A1`; punctuation keeps its width."""

    def rewrite(self, text: str, document: Document) -> str:  # noqa: ARG002 - the text decides alone
        """Return the normalized text; the same object where nothing changes."""
        # Every substitution costs several times the search that shows it is not needed.
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if not text.isascii():
            text = self._unicode(text)
        elif len(data := text.encode()) != len(data.translate(None, _ASCII_CONTROLS)):
            text = _INVISIBLE.sub("", text)
        if text.endswith(tuple(_BLANKS)) or any(blank + "\n" in text for blank in _BLANKS if blank in text):
            text = _TRAILING.sub("", text)
        if self.collapse_spaces:
            if "  " in text or any(blank in text for blank in _BLANKS[1:]):
                text = _RUN.sub(" ", text)
            text = text.replace("\n ", "\n").removeprefix(" ")
        most = self.max_blank_lines + 1
        if "\n" * (most + 1) in text:
            text = re.sub(f"\n{{{most + 1},}}", "\n" * most, text)
        return text.strip("\n")

    def _unicode(self, text: str) -> str:
        if "\u2028" in text or "\u2029" in text or "\x85" in text:
            text = _LINE_ENDS.sub("\n", text)
        data = text.encode("utf-8", "surrogatepass")
        # C1 controls are C2 80 to C2 9F in UTF-8, where much else that begins with C2 is rare.
        if (
            b"\xc2" in data
            or any(mark in text for mark in _WIDE_INVISIBLE)
            or len(data) != len(data.translate(None, _ASCII_CONTROLS))
        ):
            text = _INVISIBLE.sub("", text)
        if self.form == "NFC" and not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
        if self.full_width == "fold_letters" and _FULL_WIDTH.search(text):
            text = text.translate(_HALF_WIDTH)
        return text
