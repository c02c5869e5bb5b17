"""Tables as text, `.csv` and `.tsv` (RFC 4180, and what else programs write under these names)."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator
from typing import Any

from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, Record, Span, _rows
from llmkit.data.sources._columns import distinct_names
from llmkit.data.sources._dialect import SAMPLE_BYTES, Dialect, find_dialect, skip_named
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._lines import BOM, RowLines, Unclosed
from llmkit.data.sources._streams import DAMAGE, buffered, describe_damage
from llmkit.data.sources._text import Decoder

_IN_QUOTES = re.compile(rb'"[^"]*+"')


class Table(Format):
    """Fields may be quoted and hold newlines; a row that cannot be read costs its own first line, never the next row.

    How a file is written is found out on its first MiB, as far as the source does not say it.
    """

    suffixes = (".csv", ".tsv")

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:  # noqa: ARG002 - always whole
        """Yield the rows below the header; rows without any character do not count."""
        csv.field_size_limit(_rows.MAX_ROW_BYTES)
        row = 0
        try:
            stream, decode, dialect = _open(reading)
            with stream:
                lines = RowLines(stream)
                names, tabs = _header(lines, decode, dialect, reading), _has_tabs(reading)
                for line in lines.starts():
                    try:
                        values = _fields(lines, decode, dialect, len(names), tabs=tabs)
                        yield reading.columns.record(row, dict(zip(names, values, strict=True)))
                    except RowError as error:
                        yield Broken(row, str(error), line, lines.excerpt())
                    row += 1
        except (RowError, csv.Error) as error:
            yield Broken(row, f"the header cannot be read: {error}", 1)
        except DAMAGE as error:
            yield Broken(row, describe_damage(error, row))

    def describe(self, reading: Reading) -> str:
        """Say how the file is written."""
        csv.field_size_limit(_rows.MAX_ROW_BYTES)
        try:
            stream, _, dialect = _open(reading)
            stream.close()
        except (RowError, *DAMAGE):
            return ""
        return dialect.describe()


class _Resumed(io.RawIOBase):
    """A stream whose beginning was read already; with `returns`, its lines end in CR alone."""

    def __init__(self, head: bytes, stream: io.BufferedIOBase, *, returns: bool) -> None:
        self._head = head
        self._stream = stream
        self._returns = returns

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or self._stream.read1(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(data)] = data.replace(b"\r", b"\n") if self._returns else data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _open(reading: Reading) -> tuple[io.BufferedReader, Decoder, Dialect]:
    """Open a table and find out how it is written."""
    stream, decode = reading.open_text()
    head = _beginning(stream)
    bare = _IN_QUOTES.sub(b"", head)
    returns = b"\r" in head and b"\n" not in (bare if b"\r" in bare else head)
    sample = (head.replace(b"\r", b"\n") if returns else head).removeprefix(BOM)
    if len(head) == SAMPLE_BYTES:  # its last line is cut
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    try:
        text = decode(sample)
    except RowError:
        text = sample.decode("utf-8", "replace")
    dialect = find_dialect(reading.dialect, text, tabs=_has_tabs(reading), known=reading.columns.knows)
    return buffered(_Resumed(head, stream, returns=returns)), decode, dialect


def _beginning(stream: io.BufferedReader) -> bytes:
    """Return the first bytes, also of a file that is damaged behind them."""
    parts: list[bytes] = []
    left = SAMPLE_BYTES
    try:
        while left and (part := stream.read1(left)):
            parts.append(part)
            left -= len(part)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if not parts:
            raise
    return b"".join(parts)


def _has_tabs(reading: Reading) -> bool:
    return ".tsv" in reading.file.name.lower()[-8:]


def _header(lines: RowLines, decode: Decoder, dialect: Dialect, reading: Reading) -> list[str]:
    for number in lines.starts():
        text = decode((lines.peek() or b"").removeprefix(BOM) if number == 1 else lines.peek() or b"")
        if number == 1 and skip_named(text):
            lines.take()
            continue
        if number == 1:
            lines.replace_first([(lines.peek() or b"").removeprefix(BOM)])
        names = next(dialect.rows(_decoded(lines, decode)), [])
        if dialect.header:
            return distinct_names([name.strip() for name in names])
        lines.give_back(0)
        used = reading.columns.used()
        return used if len(names) == len(used) == 1 else [f"column{place}" for place in range(1, len(names) + 1)]
    return []


def _fields(lines: RowLines, decode: Decoder, dialect: Dialect, num_columns: int, *, tabs: bool) -> list[str]:
    """Read the row that starts at the next line.

    Raises:
        RowError: It cannot be read. Its first line is used up; the next row starts at the second, wherever a quote
            that is never closed would have ended.
    """
    # Asked here: most files have no such row, and a call for each of theirs would be felt.
    failure = _known_failure(lines, lines.unclosed, decode, dialect, num_columns) if lines.unclosed else ""
    if failure:
        lines.take()
    else:
        try:
            values = _next_row(lines, decode, dialect)
            if len(values) == num_columns and not (tabs and _swallows(lines, dialect, num_columns)):
                return values
            failure = _mismatch(len(values), num_columns)
            lines.fail(failure, _begun_after([decode(line) for line in lines.row()[1:]], dialect))
        except csv.Error as error:
            failure = f"the row is no CSV: {error}"
            lines.fail(failure, None)
        except RowError as error:
            lines.fail(str(error), None)
            raise
    first = lines.row()[0]
    if tabs:
        plain = decode(first).rstrip("\r\n").split(dialect.delimiter)
        if len(plain) == num_columns:
            return plain
    if b"\r" in first.rstrip(b"\r\n"):
        return _cut_at_returns(lines, decode, dialect, num_columns, failure)
    raise RowError(failure)


def _next_row(lines: RowLines, decode: Decoder, dialect: Dialect) -> list[str]:
    """Return the fields of the row that starts at the next line.

    Nearly all rows hold nothing that Python's reader would misread, and to look at every field costs a third more.
    """
    first = lines.peek() or b""
    if dialect.escape != "backslash" and (b"\r" not in first or not _has_lone_return(first)):
        try:
            return next(dialect.reader(_decoded(lines, decode)), [])
        except csv.Error:
            if not any(map(_has_lone_return, lines.row())):
                raise
            lines.give_back(0)
    return next(dialect.rows(_decoded(lines, decode)), [])


def _has_lone_return(line: bytes) -> bool:
    return line.find(b"\r", 0, -2) >= 0 or line.endswith(b"\r")


def _swallows(lines: RowLines, dialect: Dialect, num_columns: int) -> bool:
    """Tell whether a row of several lines is several rows: speech that one begins with and another ends with."""
    taken = lines.row()
    delimiter = dialect.delimiter.encode()
    return num_columns > 1 and len(taken) > 1 and all(line.count(delimiter) == num_columns - 1 for line in taken)


def _cut_at_returns(lines: RowLines, decode: Decoder, dialect: Dialect, num_columns: int, failure: str) -> list[str]:
    """Return the first of the rows in a line between which CR stands, as in joined files; give the others back."""
    parts = [part + b"\n" for part in lines.row()[0].split(b"\r") if part.strip()]
    try:
        rows = [next(dialect.rows(iter([decode(part)])), []) for part in parts]
    except csv.Error:
        rows = []
    if not rows or any(len(row) != num_columns for row in rows):
        raise RowError(failure)
    lines.replace_first(parts)
    return rows[0]


def _known_failure(lines: RowLines, seen: Unclosed, decode: Decoder, dialect: Dialect, num_columns: int) -> str:
    """Say why the row that starts at the next line cannot be read, where an earlier one tells; else nothing."""
    first = lines.peek()
    if first is None or lines.number >= seen.last:
        return ""
    try:
        text = decode(first)
        next(dialect.rows(iter([text])))
    except RowError:
        return ""
    except csv.Error as error:
        if "end of data" not in str(error):
            return ""
        if seen.after is None:
            return seen.reason
        count = _begun(text, dialect) + seen.after[lines.number - seen.first]
        return "" if count == num_columns else _mismatch(count, num_columns)
    return ""  # it ends with its line


def _begun(line: str, dialect: Dialect) -> int:
    """Return how many columns a line begins that ends inside quotes."""
    return len(next(csv.reader([dialect.hold(line)], delimiter=dialect.delimiter)))


def _begun_after(lines: list[str], dialect: Dialect) -> list[int]:
    """Return of each line of a row, of which `lines` are all but the first, how many columns those behind it begin.

    Each of them begins inside quotes, where the line before ended.
    """
    begun = [_begun('"' + line, dialect) - 1 for line in lines]
    return [*itertools.accumulate(reversed(begun), initial=0)][::-1]


def _mismatch(count: int, num_columns: int) -> str:
    return f"the row has {count} columns, the header has {num_columns}"


def _decoded(lines: RowLines, decode: Decoder) -> Iterator[str]:
    while (line := lines.take()) is not None:
        yield decode(line)


FORMAT = Table()
