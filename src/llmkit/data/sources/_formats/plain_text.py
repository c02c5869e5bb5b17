"""Plain text: a file is one document."""

from __future__ import annotations

from llmkit.data.sources import Record
from llmkit.data.sources._formats import DocumentFormat, Reading
from llmkit.data.sources._text import HEAD_BYTES, Decoder, wide_encoding


class PlainText(DocumentFormat):
    """The byte order mark goes, and CR LF becomes a newline."""

    suffixes = (".txt", ".text")

    def document(self, reading: Reading, data: bytes) -> Record:
        """Return the text."""
        return reading.columns.document(0, decode_text(reading, data), {})


def decode_text(reading: Reading, data: bytes) -> str:
    """Decode a whole file as its encoding says, or as it begins."""
    wide = wide_encoding(reading.encoding, data[:4])
    text = Decoder(wide or reading.encoding, lambda: data[:HEAD_BYTES])(data)
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


FORMAT = PlainText()
