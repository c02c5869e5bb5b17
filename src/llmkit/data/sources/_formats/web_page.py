"""HTML: a file is one document, decoded and otherwise as it is; the step `html` finds its text."""

from __future__ import annotations

from llmkit.data.rows import RowError
from llmkit.data.sources import Record, _rows
from llmkit.data.sources._formats import DocumentFormat, Reading
from llmkit.data.sources._text import Decoder, decode_page


class WebPage(DocumentFormat):
    """The encoding comes from the byte order mark, valid UTF-8, `<meta charset>`, or detection, in this order."""

    suffixes = (".html", ".htm", ".xhtml")

    def document(self, reading: Reading, data: bytes) -> Record:
        """Return the source of the page, marked as HTML."""
        if len(data) > _rows.MAX_ROW_BYTES:
            raise RowError(f"longer than {_rows.MAX_ROW_BYTES:,} bytes")
        text = decode_page(data) if reading.encoding == "auto" else Decoder(reading.encoding, bytes)(data)
        return reading.columns.document(0, text.removeprefix("\ufeff"), {"format": "html"})


FORMAT = WebPage()
