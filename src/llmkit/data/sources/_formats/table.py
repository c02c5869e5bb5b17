"""Tables as text, `.csv` and `.tsv`: the first row names the columns (RFC 4180)."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, Record, Span, _rows
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._lines import BLANK, BOM
from llmkit.data.sources._streams import DAMAGE, describe_damage
from llmkit.data.sources._text import Decoder


class Table(Format):
    """Fields may be quoted and hold newlines; a row that cannot be read costs its own first line, never the next row.

    In `.csv` the delimiter is a comma or, where the header has none, a semicolon or a tab. In `.tsv` a quote that does
    not enclose its field is an ordinary character.
    """

    suffixes = (".csv", ".tsv")

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:  # noqa: ARG002 - always whole
        """Yield the rows below the header; rows without any character do not count."""
        csv.field_size_limit(_rows.MAX_ROW_BYTES)
        tabs = ".tsv" in reading.file.name.lower()[-8:]
        row = 0
        try:
            stream, decode = reading.open_text()
            with stream:
                lines = _Lines(stream)
                names, delimiter = _header(lines, decode, tabs=tabs)
                for line in lines.starts():
                    try:
                        values = _fields(lines, decode, delimiter, len(names), tabs=tabs)
                        yield reading.columns.record(row, dict(zip(names, values, strict=True)))
                    except RowError as error:
                        yield Broken(row, str(error), line, lines.excerpt())
                    row += 1
        except RowError as error:
            yield Broken(row, f"the header cannot be read: {error}", 1)
        except DAMAGE as error:
            yield Broken(row, describe_damage(error, row))


class _Unclosed(NamedTuple):
    """Lines that a row took for one quoted field, and then could not be read.

    A row that begins among them and does not end with its own first line comes to the same end: at the next line both
    are inside quotes. Without this, rows that each take the rest of the file would take the square of its size.

    Attributes:
        last: Number of the last line.
        reason: Why the row could not be read.
        more: Columns beyond those that its first line begins; None where it is no CSV, whatever comes before.
    """

    last: int
    reason: str
    more: int | None


class _Lines:
    """The lines of a file, of which those of the current row can be given back.

    Attributes:
        unclosed: Where the last row that could not be read took several lines.
    """

    def __init__(self, stream) -> None:  # type: ignore[no-untyped-def]
        self._stream = stream
        self._ahead: deque[bytes] = deque()
        self._number = 0
        self._row: list[bytes] = []
        self._size = 0
        self.unclosed: _Unclosed | None = None

    def starts(self) -> Iterator[int]:
        """Move to the next line that is not blank, where a row starts, and yield its number, again and again."""
        while True:
            self._row = []
            self._size = 0
            line = self._next()
            if line is None:
                return
            if line.strip(BLANK):
                self._ahead.appendleft(line)
                self._number -= 1
                yield self._number + 1

    def take(self) -> bytes | None:
        """Return the next line as part of the current row."""
        line = self._next()
        if line is not None:
            self._row.append(line)
            self._size += len(line)
            if self._size > _rows.MAX_ROW_BYTES:
                raise RowError(f"longer than {_rows.MAX_ROW_BYTES:,} bytes")
        return line

    def first(self, before: int) -> bytes | None:
        """Return the line that the current row starts with, if its number is below `before`."""
        return self._ahead[0] if self._number + 1 < before else None

    def fail(self, reason: str, more: int | None) -> None:
        """Note why the current row cannot be read, and keep of it the first line alone."""
        if len(self._row) > 1:
            self.unclosed = _Unclosed(self._number, reason, more)
        self._ahead.extendleft(reversed(self._row[1:]))
        self._number -= len(self._row) - 1
        self._row = self._row[:1]

    def row(self) -> list[bytes]:
        """Return the lines of the current row."""
        return self._row

    def excerpt(self) -> str:
        """Return the beginning of the current row."""
        return b"".join(self._row)[:200].decode("utf-8", "replace").rstrip("\r\n")

    def _next(self) -> bytes | None:
        if self._ahead:
            line = self._ahead.popleft()
        else:
            limit = _rows.MAX_ROW_BYTES
            line = rest = self._stream.readline(limit + 1)
            while len(line) > limit and rest and not rest.endswith(b"\n"):
                rest = self._stream.readline(2**20)
            if not line:
                return None
        self._number += 1
        return line


def _header(lines: _Lines, decode: Decoder, *, tabs: bool) -> tuple[list[str], str]:
    for number in lines.starts():
        first = lines.take() or b""
        text = decode(first.removeprefix(BOM) if number == 1 else first)
        delimiter = "\t" if tabs else next((mark for mark in ",;\t" if mark in text), ",")
        names = next(csv.reader([text], delimiter=delimiter), [])
        return _distinct([name.strip() for name in names]), delimiter
    return [], ","


def _distinct(names: list[str]) -> list[str]:
    """Number the columns whose name is taken: `a, a` is `a, a.1`; takes time that grows with their number alone."""
    given, used, following = set(names), set[str](), dict[str, int]()
    found = []
    for name in names:
        free, count = name, following.get(name, 1)
        if name in used:
            while (free := f"{name}.{count}") in given or free in used:
                count += 1
            following[name] = count + 1
        used.add(free)
        found.append(free)
    return found


def _fields(lines: _Lines, decode: Decoder, delimiter: str, num_columns: int, *, tabs: bool) -> list[str]:
    """Read the row that starts at the next line.

    Raises:
        RowError: It cannot be read. Its first line is used up; the next row starts at the second, wherever a quote
            that is never closed would have ended.
    """
    # Asked here: most files have no such row, and a call for each of theirs would be felt.
    failure = _known_failure(lines, lines.unclosed, decode, delimiter, num_columns) if lines.unclosed else ""
    if failure:
        lines.take()
    else:
        try:
            # Strict: the opening quote of the next row tells that a quote of this one was never closed.
            values = next(csv.reader(_decoded(lines, decode), delimiter=delimiter, strict=True), [])
            if len(values) == num_columns:
                return values
            failure = _mismatch(len(values), num_columns)
            if len(lines.row()) == 1:
                raise RowError(failure)
            lines.fail(failure, len(values) - _begun(decode(lines.row()[0]), delimiter))
        except csv.Error as error:
            failure = f"the row is no CSV: {error}"
            lines.fail(failure, None)
        except RowError as error:
            lines.fail(str(error), None)
            raise
    if tabs:
        plain = decode(lines.row()[0]).rstrip("\r\n").split(delimiter)
        if len(plain) == num_columns:
            return plain
    raise RowError(failure)


def _known_failure(lines: _Lines, seen: _Unclosed, decode: Decoder, delimiter: str, num_columns: int) -> str:
    """Say why the row that starts at the next line cannot be read, where an earlier one tells; else nothing."""
    first = lines.first(seen.last)
    if first is None:
        return ""
    try:
        text = decode(first)
        next(csv.reader([text], delimiter=delimiter, strict=True))
    except RowError:
        return ""
    except csv.Error as error:
        if "end of data" not in str(error):
            return ""
        if seen.more is None:
            return seen.reason
        count = _begun(text, delimiter) + seen.more
        return "" if count == num_columns else _mismatch(count, num_columns)
    return ""  # it ends with its line


def _begun(line: str, delimiter: str) -> int:
    """Return how many columns a line begins that ends inside quotes."""
    return len(next(csv.reader([line], delimiter=delimiter)))


def _mismatch(count: int, num_columns: int) -> str:
    return f"the row has {count} columns, the header has {num_columns}"


def _decoded(lines: _Lines, decode: Decoder) -> Iterator[str]:
    while (line := lines.take()) is not None:
        yield decode(line)


FORMAT = Table()
