"""Redact personal data and secrets: e-mail, phone, IP address, Chinese resident number, payment card, API keys.

    联系 wang@example.cn 或 13800001111   ->   联系 <EMAIL> 或 <PHONE>

Place it behind `html`, which would take the placeholders for tags. The report's samples of what fell are redacted
wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from llmkit.cleaning.steps import Drop, Rewrite
from llmkit.cleaning.steps._pii_phones import check_regions, find_phones
from llmkit.data.corpus import Document
from llmkit.text.personal.identity import find_cards, find_chinese_ids
from llmkit.text.personal.keys import find_secrets
from llmkit.text.personal.network import find_emails, find_ips

PiiType = Literal["secret", "email", "chinese_id", "card", "ip", "phone"]
Action = Literal["redact", "drop"]
Span = tuple[int, int]
Finding = tuple[int, int, PiiType]
TYPES: tuple[PiiType, ...] = ("secret", "email", "chinese_id", "card", "ip", "phone")
"""In order of precedence: what one type has taken, no other takes again (13800001111@example.cn is no phone)."""

# Seven digits with nothing but separators between: without them there is no phone, card or resident number. Deleting
# the bytes of the separators and turning every digit to 0 makes that one substring search, 400 MB/s.
_ZEROS = b"0" * 7
_ZERO_TABLE = bytes(48 if 48 <= byte < 58 else byte for byte in range(256))
_SEPARATOR_BYTES = b" ./()-" + "\u00a0\u202f\u2010\u2011\u2012\u2013".encode()
# One class and no group: a repeated group keeps a state per repetition, gigabytes for a file of digits.
_RUN = re.compile("[+(]{0,2}[0-9][0-9 ./()\u00a0\u202f\u2010-\u2013-]{6,}")
_LOOKAHEAD = 4
"""Characters behind a run that tell what it is: the X of a resident number, a unit. Too few to hold a number."""


class Pii(Rewrite):
    """Replace personal data by placeholders, or drop the documents that hold it; the report counts it per type."""

    types: list[PiiType] = Field(list(TYPES), min_length=1)
    """What to look for."""
    action: Action = "redact"
    """What to do: `redact` puts a placeholder in its place, `drop` drops the document."""
    actions: dict[PiiType, Action] = Field({})
    """What to do with single types, such as `{secret: drop}`."""
    placeholder: str = Field("<{type}>", pattern=r"^[^0-9@]*$")
    """What stands for a value: `{type}` becomes `EMAIL`, `PHONE`, `IP`, `CHINESE_ID`, `CARD` or `SECRET`. Plain ASCII,
    so that no normalization changes it. Tell the tokenizer, if each should be one token."""
    phone_regions: list[str] = Field(["CN"])
    """ISO 3166 codes of the countries whose national phone numbers are found; numbers with + are found of all."""
    private_ips: bool = False
    """Also redact private, link-local and documentation addresses; loopback and netmasks are always kept."""
    old_chinese_ids: bool = False
    """Also redact 15-digit resident numbers (until 1999): they have no check digit, so other numbers fall as well."""

    @field_validator("phone_regions")
    @classmethod
    def _known_regions(cls, regions: list[str]) -> list[str]:
        check_regions(region for region in regions if region != "CN")
        return regions

    def apply(self, document: Document) -> Drop | None:
        """Redact the document; then say why it falls, if a type that it holds is to be dropped.

        It is redacted in any case: the report shows samples of dropped documents, and no value belongs in there.
        """
        dropping = [name for name in TYPES if name in self.types and self.actions.get(name, self.action) == "drop"]
        before = [document.counts.get(name, 0) for name in dropping]
        drop = super().apply(document)
        for name, count in zip(dropping, before, strict=True):
            if found := document.counts.get(name, 0) - count:
                return Drop(f"pii.{name}", found, 0)
        return drop

    def rewrite(self, text: str, document: Document) -> str:
        """Return the text with placeholders; the same string where there is nothing to redact."""
        found = self.find(text)
        if not found:
            return text
        parts: list[str] = []
        position = 0
        for start, end, name in found:
            parts += (text[position:start], self.placeholder.replace("{type}", name.upper()))
            position = end
            document.count(name)
        return "".join((*parts, text[position:]))

    def conceal(self, text: str) -> str:
        """Redact a sample of what fell before this step: values never reach the report, wherever the step stands."""
        return self.rewrite(text, Document("", text, ""))

    def find(self, text: str) -> list[Finding]:
        """Return what is found, in order of position and without overlaps."""
        data = text.encode("utf-8", "surrogatepass")
        windows = _digit_windows(text, data)
        found: list[Finding] = []
        for name in TYPES:
            if name in self.types and (spans := sorted(self._find(name, text, data, windows))):
                found = _merge(found, [(start, end, name) for start, end in spans])
        return found

    def _find(self, name: PiiType, text: str, data: bytes, windows: list[Span]) -> Iterator[Span]:
        match name:
            case "secret":
                return find_secrets(text, data)
            case "email":
                return find_emails(text)
            case "chinese_id":
                return find_chinese_ids(text, windows, old=self.old_chinese_ids)
            case "card":
                return find_cards(text, windows)
            case "ip":
                return find_ips(text, private=self.private_ips)
            case "phone":
                return find_phones(text, windows, tuple(self.phone_regions))


def _digit_windows(text: str, data: bytes) -> list[Span]:
    """Return where a text has runs of digits and separators that may hold seven digits or more."""
    if _ZEROS not in data.translate(_ZERO_TABLE, _SEPARATOR_BYTES):
        return []
    return [(match.start(), match.end() + _LOOKAHEAD) for match in _RUN.finditer(text)]


def _merge(kept: list[Finding], new: list[Finding]) -> list[Finding]:
    """Merge sorted findings into sorted, disjoint ones; of the new ones, those that overlap nothing."""
    merged: list[Finding] = []
    position, taken = 0, 0
    for item in new:
        while position < len(kept) and kept[position][0] < item[1]:
            taken = max(taken, kept[position][1])
            merged.append(kept[position])
            position += 1
        if item[0] >= taken:
            merged.append(item)
            taken = item[1]
    return [*merged, *kept[position:]]
