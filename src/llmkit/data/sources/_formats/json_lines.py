"""JSON Lines: one object a line, `{"text": "...", "url": "..."}`."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, Record, Span
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._lines import cut_lines, read_lines
from llmkit.data.sources._rows import parse_row
from llmkit.data.sources._streams import DAMAGE, describe_damage
from llmkit.data.sources._text import wide_encoding


class JsonLines(Format):
    """Rows are the lines that are not blank; one line is in memory at a time."""

    suffixes = (".jsonl", ".ndjson", ".jsonlines")

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:
        """Yield the rows."""
        row, before = (span.row, span.line - 1) if span else (0, 0)
        record = reading.columns.record
        try:
            stream, decode = reading.open_text(span)
            with stream:
                for number, line in read_lines(stream, before):
                    try:
                        yield record(row, parse_row(line, decode, utf8=decode.utf8))
                    except RowError as error:
                        yield Broken(row, str(error), number, line[:200].decode("utf-8", "replace"))
                    row += 1
        except DAMAGE as error:
            yield Broken(row, describe_damage(error, row))

    def spans(self, reading: Reading, num_bytes: int) -> list[Span]:
        """Cut at newlines; not what is compressed, elsewhere, or in UTF-16."""
        if reading.codec or not reading.local or reading.file.num_bytes <= num_bytes:
            return reading.whole()
        with reading.open_raw() as file:
            if wide_encoding(reading.encoding, file.read(4)):
                return reading.whole()
            return list(cut_lines(file, num_bytes))


FORMAT = JsonLines()
