"""JSON Lines: one object a line, `{"text": "...", "url": "..."}`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, Record, Span
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._lines import cut_lines, read_lines
from llmkit.data.sources._rows import joined_rows, parse_row
from llmkit.data.sources._streams import DAMAGE, describe_damage
from llmkit.data.sources._text import Decoder, wide_encoding


class JsonLines(Format):
    """Rows are the lines that are not blank; one line is in memory at a time.

    What joining files leaves in or between lines is passed over: byte order marks, commas, record separators, and
    ends of lines that are missing. Rows that stand in one line have its number.
    """

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
                        yield from _joined(line, decode, reading, Broken(row, str(error), number, _excerpt(line)))
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


def _joined(line: bytes, decode: Decoder, reading: Reading, broken: Broken) -> Iterator[Record | Broken]:
    """Yield the rows of a line that is more than one object; of any other line, what is wrong with it."""
    try:
        values = joined_rows(line, decode)
    except RowError:
        values = []
    if len(values) < 2:
        yield broken
        return
    for value in values:
        try:
            yield reading.columns.record(broken.row, value)
        except RowError as error:
            yield replace(broken, reason=str(error))


def _excerpt(line: bytes) -> str:
    return line[:200].decode("utf-8", "replace")


FORMAT = JsonLines()
