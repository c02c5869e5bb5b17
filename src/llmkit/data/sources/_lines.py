"""Lines of a file: read them one at a time whatever their length, take a row's, and cut a file at their ends."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from llmkit.data.rows import RowError
from llmkit.data.sources import Span, _rows

BOM = b"\xef\xbb\xbf"
BLANK = b" \t\r\n"
_BLOCK_BYTES = 4 * 2**20


def read_lines(stream: io.BufferedIOBase, number: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, content) of the non-empty lines; one that is too long is cut after the limit.

    Args:
        stream: The bytes.
        number: How many lines come before the stream.
    """
    limit = _rows.MAX_ROW_BYTES
    while line := stream.readline(limit + 1):
        number += 1
        if len(line) > limit:
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = stream.readline(2**20)
        content = (line.removeprefix(BOM) if number == 1 else line).strip(BLANK)
        if content:
            yield number, content


def read_whole(stream: io.BufferedIOBase) -> bytes:
    """Return a file's bytes, one more than the limit at most; decoding refuses that many."""
    return stream.read(_rows.MAX_ROW_BYTES + 1)


class Unclosed(NamedTuple):
    """Lines that a row took for one quoted field, and then could not be read.

    A row that begins among them and does not end with its own first line comes to the same end: at the next line both
    are inside quotes. Without this, rows that each take the rest of the file would take the square of its size.

    Attributes:
        first: Number of the first line.
        last: Number of the last line.
        reason: Why the row could not be read.
        after: Of each line, how many columns the lines behind it begin; None where it is no CSV, whatever comes before.
    """

    first: int
    last: int
    reason: str
    after: list[int] | None


class RowLines:
    """The lines of a file, of which those of the current row can be given back: a row may be several lines.

    Attributes:
        unclosed: Where the last row that could not be read took several lines.
    """

    def __init__(self, stream) -> None:  # type: ignore[no-untyped-def]
        self._stream = stream
        self._ahead: deque[bytes] = deque()
        self._number = 0
        self._row: list[bytes] = []
        self._size = 0
        self.unclosed: Unclosed | None = None

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

    def peek(self) -> bytes | None:
        """Return the line in front, where a row starts."""
        return self._ahead[0] if self._ahead else None

    @property
    def number(self) -> int:
        """Number of the line in front."""
        return self._number + 1

    def fail(self, reason: str, after: list[int] | None) -> None:
        """Note why the current row cannot be read, and keep of it the first line alone."""
        if len(self._row) > 1:
            self.unclosed = Unclosed(self._number - len(self._row) + 1, self._number, reason, after)
        self.give_back(1)

    def give_back(self, keep: int) -> None:
        """Keep of the current row so many lines from its first on."""
        self._ahead.extendleft(reversed(self._row[keep:]))
        self._number -= len(self._row) - keep
        self._row = self._row[:keep]

    def replace_first(self, parts: list[bytes]) -> None:
        """Put others in the place of the first line of the row, which it keeps if it was taken; its number stays."""
        if self._row:
            self._row = parts[:1]
            self._ahead.extendleft(reversed(parts[1:]))
            self._number -= len(parts) - 1
        else:
            self._ahead[0] = parts[0]

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


def cut_lines(file: BinaryIO, num_bytes: int) -> Iterator[Span]:
    """Yield the spans of a file of lines, each of `num_bytes` and what is left of its last line.

    Rows are the lines that are not blank, as `read_lines` counts them. One pass over the file, at about 1 GB/s.
    """
    import numpy as np

    start, row, line = 0, 0, 1  # of the span that is open
    file.seek(0)
    offset = len(BOM) if file.read(len(BOM)) == BOM else 0  # of the block
    rows = lines = 0
    blank = True  # so far, the line that the block before ended in
    file.seek(offset)
    while block := file.read(_BLOCK_BYTES):
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == 10)
        if len(ends):
            filled = _filled(block, data, ends)
            filled[0] |= not blank
            rows_after = rows + np.cumsum(filled)
            while (index := int(np.searchsorted(ends, start + num_bytes - 1 - offset))) < len(ends):
                stop = offset + int(ends[index]) + 1
                yield Span(start, stop, row, line, stop - start)
                start, row, line = stop, int(rows_after[index]), lines + index + 2
            rows, lines, blank = int(rows_after[-1]), lines + len(ends), True
        tail = block[int(ends[-1]) + 1 :] if len(ends) else block
        blank = blank and not tail.strip(BLANK)
        offset += len(block)
    if offset > start:
        yield Span(start, offset, row, line, offset - start)


def _filled(block: bytes, data, ends):  # type: ignore[no-untyped-def]
    """Return for each line that ends in the block whether what is in the block is more than blanks."""
    import numpy as np

    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    filled = starts < ends
    suspects = np.flatnonzero(filled & np.isin(data[starts], np.frombuffer(BLANK, np.uint8)))
    for index in suspects:
        filled[index] = bool(block[starts[index] : ends[index]].strip(BLANK))
    return filled
