"""XML that is a long row of like elements, an element at a time.

A file is cut at them and each is parsed by itself: one is in memory at a time, a damaged one costs itself alone, and
none can declare entities.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmkit.data.rows import RowError
from llmkit.data.sources import _rows
from llmkit.data.sources._streams import BUFFER_BYTES

HEAD_BYTES = 2**16
"""Bytes in which what stands before the elements is looked for."""
_FIRST = re.compile(rb"<[a-zA-Z][^\s/>]{0,40}")


@dataclass(frozen=True)
class Elements:
    """Which elements.

    Attributes:
        begin: How one begins.
        end: What it ends with.
        root: How what holds all of them begins.
        last: What that ends with.
        name: What to call an element, for people.
        kind: What to call the file.
    """

    begin: re.Pattern[bytes]
    end: bytes
    root: re.Pattern[bytes]
    last: bytes
    name: str
    kind: str

    def check(self, head: bytes) -> None:
        """Make sure that a file that begins with `head` is one of these.

        Raises:
            RowError: It is not; the reason says how it begins.
        """
        if not self.root.search(head):
            element = _FIRST.search(head)
            begins = f": it begins with {element[0].decode('utf-8', 'replace')}>" if element else ""
            raise RowError(f"no {self.kind}{begins}")

    def cut(self, stream: io.BufferedIOBase, head: bytes) -> Iterator[bytes | RowError]:
        """Yield the elements of what begins with `head` and goes on in a stream; an error for one that is not whole.

        Raises:
            EOFError: The file ends before its end.
        """
        buffer = bytearray()
        searched = 0
        is_long = False
        block = head
        while block:
            buffer += block
            start = 0
            while (end := buffer.find(self.end, max(start, searched))) >= 0:
                # Of an element whose end is lost, the next begins within it.
                begins = [match.start() for match in self.begin.finditer(buffer, start, end)]
                start = end + len(self.end)
                if is_long:
                    yield RowError(f"a {self.name} longer than {_rows.MAX_ROW_BYTES:,} bytes")
                elif len(begins) != 1:
                    yield RowError(f"a {self.name} without its {'end' if begins else 'beginning'}")
                is_long = False
                if begins:
                    yield bytes(buffer[begins[-1] : start])
            del buffer[:start]
            searched = max(len(buffer) - len(self.end), 0)
            if len(buffer) > _rows.MAX_ROW_BYTES:
                is_long = True
                del buffer[: -len(self.last)]
                searched = 0
            block = stream.read1(BUFFER_BYTES)
        if self.last not in buffer:
            raise EOFError
        if is_long or self.begin.search(buffer):
            yield RowError(f"a {self.name} without its end")
