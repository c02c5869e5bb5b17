"""Bring text into one form: Unicode NFC, newline line ends, no control or zero-width characters, no trailing blanks."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from llmkit.cleaning.steps import Rewrite
from llmkit.data.corpus import Document

# C0 and C1 controls but tab and newline, zero-width space, word joiner, BOM, soft hyphen. Zero-width joiners stay:
# Indic scripts, Persian and emoji sequences are spelled with them.
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\u00ad]")
_LINE_ENDS = re.compile("\r\n?|\x85|\u2028|\u2029")
_TRAILING = re.compile(r"[ \t\u3000\xa0]+$", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{4,}")


class Normalize(Rewrite):
    """Normalize Unicode, line ends and invisible characters; full-width punctuation is left alone."""

    form: Literal["NFC", "none"] = "NFC"
    """Unicode normalization. NFKC is not offered: it turns `，！` into their half-width forms."""

    def rewrite(self, text: str, document: Document) -> str:  # noqa: ARG002 - the text decides alone
        """Return the normalized text."""
        text = _LINE_ENDS.sub("\n", text)
        text = _INVISIBLE.sub("", text)
        if self.form == "NFC" and not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
        return _BLANK_LINES.sub("\n\n\n", _TRAILING.sub("", text)).strip("\n")
