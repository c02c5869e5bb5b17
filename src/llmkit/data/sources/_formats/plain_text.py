"""Plain text: a file is one document."""

from __future__ import annotations

import re

from llmkit.data.sources import Record
from llmkit.data.sources._formats import DocumentFormat, Reading
from llmkit.data.sources._text import HEAD_BYTES, Decoder, wide_encoding

_WIDE = re.compile(b"[\xe0-\xef][\x80-\xbf]{2}")
_SURE = 3
"""A short line in GB18030 may be valid UTF-8 by accident, but not with three characters of three bytes."""


class PlainText(DocumentFormat):
    """The byte order mark goes, and CR LF becomes a newline."""

    suffixes = (".txt", ".text")

    def document(self, reading: Reading, data: bytes) -> Record:
        """Return the text."""
        return reading.columns.document(0, decode_text(reading, data), {})


def decode_text(reading: Reading, data: bytes) -> str:
    """Decode a whole file as its encoding says, or as it begins."""
    wide = wide_encoding(reading.encoding, data[:4])
    decode = Decoder(wide or reading.encoding, lambda: data[:HEAD_BYTES])
    text = _decode_mixed(data, decode) if reading.encoding == "auto" and not wide else decode(data)
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _decode_mixed(data: bytes, decode: Decoder) -> str:
    """Decode a file that may have lines in UTF-8 beside lines in GB18030, as joined files do."""
    lines = [] if _is_utf8(data) else data.split(b"\n")
    if not any(map(_is_wide_utf8, lines)):
        return decode(data)
    return "\n".join(line.decode() if _is_wide_utf8(line) else decode(line) for line in lines)


def _is_wide_utf8(line: bytes) -> bool:
    return len(_WIDE.findall(line)) >= _SURE and _is_utf8(line)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


FORMAT = PlainText()
