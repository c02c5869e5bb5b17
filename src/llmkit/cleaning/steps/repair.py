"""Repair text that was decoded wrongly, and drop what cannot be repaired: `donâ€™t` to `don’t`, `ä¸­æ–‡` to `中文`.

Mojibake is left to ftfy (Speer, 2019), which is slow (6 MB/s to find nothing) and sees only lines that look suspicious.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from pydantic import Field

from llmkit.cleaning.steps import Drop, Rewrite
from llmkit.cleaning.steps._markup_entities import count_references, unescape
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

SEGMENT_CHARS = 100_000
"""Longer lines are repaired in pieces."""

# UTF-8 read as GBK: what `，`, `。` or `、`, `“` or `—`, and `的` begin with. None is a usual character.
_GBK_MARKS = ("锛", "銆", "鈥", "鐨")
_GBK_RUN = re.compile(r"[^\x00-\x7f]{3,}")


class Repair(Rewrite):
    """Undo wrong decodings line by line, join or replace lone surrogates, and drop documents full of U+FFFD.

    Full-width punctuation, curly quotes, ligatures and normalization stay as they are. Counts lines mended
    (`repair.mojibake`), surrogates (`repair.surrogates`) and character references (`repair.references`).
    """

    mojibake: bool = True
    """Undo UTF-8 that was read as Latin-1, a Windows code page (1250 to 1254, 1257), ISO 8859-2, Mac OS Roman, the DOS
    page 437 or GBK; and the quotation marks, dashes and euro signs of Windows-1252 that were read as Latin-1."""

    references: bool = False
    """Turn HTML character references into characters: `&nbsp;`, and `&amp;nbsp;` too. Not for code or HTML."""

    max_replacement: float = Field(default=0.01, ge=0, le=1)
    """Largest share of characters that are U+FFFD, the sign of a lost character; `锟斤拷`, which is two of them read as
    GBK, counts likewise. More drops the document (`repair.max_replacement`)."""

    def apply(self, document: Document) -> Drop | None:
        """Repair the document; drop it if too much is lost."""
        if drop := super().apply(document):
            return drop
        text = document.text
        lost = text.count("\ufffd") + 2 * text.count("锟斤拷")
        if lost > self.max_replacement * len(text):
            return Drop("repair.max_replacement", lost / len(text), self.max_replacement)
        return None

    def rewrite(self, text: str, document: Document) -> str:
        """Return the repaired text; the same object where nothing is wrong."""
        if not text.isascii():
            text = self._unicode(text, document)
        if self.references and (number := count_references(text)):
            # Twice: the second time for what was escaped twice.
            repaired = unescape(unescape(text))
            if repaired != text:
                document.count("repair.references", number)
                text = repaired
        return text

    def _unicode(self, text: str, document: Document) -> str:
        try:
            data = text.encode()
        except UnicodeEncodeError:
            # Through UTF-16, two surrogates that belong together become one character, and lone ones U+FFFD.
            number = sum("\ud800" <= char <= "\udfff" for char in text)
            document.count("repair.surrogates", number)
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            data = text.encode()
        if not self.mojibake:
            return text
        if any(mark in text for mark in _GBK_MARKS):
            text = _each_line(text, _fix_gbk, document)
            data = text.encode()
        from llmkit.cleaning.steps._mojibake import is_suspicious

        if is_suspicious(data):
            text = _each_line(text, _fix_code_page, document)
        return text


_ANGSTROM = re.compile(r"((?<![^\W\d_])Å[¹²³¼½¾±·](?![^\W\d_]))")
"""The unit of length before an exponent or another sign: right as it is, while letters stand around a misread one."""


def _each_line(text: str, fix: Callable[[str], str], document: Document) -> str:
    lines = text.split("\n")
    number = 0
    for index, line in enumerate(lines):
        if not line.isascii() and (repaired := fix(line)) != line:
            lines[index] = repaired
            number += 1
    if not number:
        return text
    document.count("repair.mojibake", number)
    return "\n".join(lines)


def _fix_code_page(line: str) -> str:
    from llmkit.cleaning.steps._mojibake import is_suspicious

    if not is_suspicious(line.encode()):
        return line
    if "Å" not in line:
        return _mend(line)
    parts = _ANGSTROM.split(line)
    return "".join(part if place % 2 else _mend(part) for place, part in enumerate(parts))


def _mend(text: str) -> str:
    from ftfy import fix_encoding

    return "".join(
        fix_encoding(text[start : start + SEGMENT_CHARS], _config()) for start in range(0, len(text), SEGMENT_CHARS)
    )


@cache
def _config() -> TextFixerConfig:
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_encoding=True,
        restore_byte_a0=True,
        replace_lossy_sequences=True,
        decode_inconsistent_utf8=True,
        fix_c1_controls=True,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )


def _fix_gbk(line: str) -> str:
    return _GBK_RUN.sub(_undo_gbk, line) if any(mark in line for mark in _GBK_MARKS) else line


def _undo_gbk(match: re.Match[str]) -> str:
    """Return a run of characters as the UTF-8 that its GBK bytes are; as it is where they are none.

    The bytes of real Chinese text are hardly ever valid UTF-8 for more than two characters.
    """
    try:
        return match[0].encode("gb18030").decode()
    except UnicodeError:
        return match[0]
