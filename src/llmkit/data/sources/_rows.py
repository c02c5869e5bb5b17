"""Rows of JSON Lines and Parquet files, read so that damage in one place costs no row in another."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROLES = ("system", "user", "assistant")

MAX_ROW_BYTES = 256 * 2**20
"""A longer line or text file is broken input rather than a document, and would not fit in memory beside its parse."""

MAX_DEPTH = 100
"""Deeper JSON could be read, but would exhaust the stack wherever it is written again."""

DAMAGE = (EOFError, zlib.error, OSError)
_BATCH_ROWS = 256


class RowError(Exception):
    """Why one row cannot be used."""


class ZstdStream(io.RawIOBase):
    """Zstandard through Arrow, handing out every byte that comes before a damaged place.

    Arrow forgets what the failing call had already decompressed, up to a whole buffer of good rows. So on failure the
    file is opened again and the last stretch is read byte by byte: a damaged file is decompressed twice.
    """

    def __init__(self, path: str) -> None:
        import pyarrow as pa

        self._open: Callable[[], Any] = lambda: pa.CompressedInputStream(pa.OSFile(path), "zstd")
        self._stream = self._open()
        self._position = 0
        self._error: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._error is not None:
            raise self._error
        try:
            count = int(self._stream.readinto(buffer))
        except OSError as error:
            self._error = error
            tail = b"".join(self._tail())
            count = len(tail)
            buffer[:count] = tail
            if not count:
                raise
        self._position += count
        return count

    def _tail(self) -> Iterator[bytes]:
        self._stream.close()
        self._stream = self._open()
        left = self._position
        while left:
            left -= len(self._stream.read(min(left, 2**20)))
        with contextlib.suppress(OSError):
            while byte := self._stream.read(1):
                yield byte

    def close(self) -> None:
        self._stream.close()
        super().close()


def open_stream(path: str, suffix: str) -> io.BufferedIOBase:
    if suffix.endswith(".gz"):
        return gzip.open(path)
    if suffix.endswith(".zst"):
        return io.BufferedReader(ZstdStream(path), buffer_size=2**16)
    return Path(path).open("rb")


def read_lines(stream: io.BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, content) of the non-empty lines; one that is too long is cut after the limit."""
    number = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        rest = line
        while rest and not rest.endswith(b"\n") and len(line) > MAX_ROW_BYTES:
            rest = stream.readline(2**20)
        content = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip(b" \t\r\n")
        if content:
            yield number, content


def read_whole(stream: io.BufferedIOBase) -> bytes:
    """Return a file's bytes, one more than the limit at most; `decode` refuses that many."""
    return stream.read(MAX_ROW_BYTES + 1)


def decode(data: bytes) -> str:
    if len(data) > MAX_ROW_BYTES:
        raise RowError(f"longer than {MAX_ROW_BYTES:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RowError(f"invalid UTF-8 at byte {error.start}") from None


def _finite(number: str) -> float | None:
    return value if math.isfinite(value := float(number)) else None


# Not strict: tabs and NUL bytes inside strings are kept, as writers that do not escape them meant it.
_JSON = json.JSONDecoder(strict=False, parse_float=_finite, parse_constant=lambda _: None)


def parse_row(line: bytes) -> dict[str, Any]:
    try:
        value: dict[str, Any] = expect(_JSON.decode(decode(line)), dict, "the row")
        if b"\\ud" in line or b"\\uD" in line:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise RowError(f"invalid JSON at column {error.colno}: {error.msg}") from None
    except UnicodeEncodeError:
        raise RowError("a lone surrogate escape (\\ud800 to \\udfff) cannot be written as UTF-8") from None
    except (RecursionError, ValueError) as error:  # nested too deeply, or an integer of more than 4,300 digits
        raise RowError(f"invalid JSON: {error}") from None
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise RowError(f"JSON nested deeper than {MAX_DEPTH} levels")
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


_TYPES = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object"}


def expect(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise RowError(f"{what} is {_TYPES.get(type(value), 'null')}, not {_TYPES[kind]}")
    return value


def parse_messages(field: str, value: Any) -> list[dict[str, str]]:
    messages = []
    for index, item in enumerate(expect(value, list, f"field '{field}'")):
        where = f"{field}.{index}"
        # Parquet fills the keys that another row's messages have with null.
        message = {key: part for key, part in expect(item, dict, where).items() if part is not None}
        if extra := sorted(message.keys() - {"role", "content"}):
            raise RowError(f"{where} has other keys than role and content: {', '.join(extra)}")
        if message.get("role") not in ROLES:
            raise RowError(f"{where}.role is {message.get('role')!r}; valid: {', '.join(ROLES)}")
        expect(message.get("content"), str, f"{where}.content")
        messages.append(message)
    if not any(message["role"] == "assistant" for message in messages):
        raise RowError(f"field '{field}' has no message of the assistant")
    return messages


def describe_damage(error: Exception, row: int) -> str:
    """Say what is wrong with the file; a failure of the operating system is raised again, since it may pass."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    where = f"after row {row - 1}" if row else "before the end of its first row"
    if isinstance(error, EOFError) or "Truncated" in str(error):
        return f"file is truncated {where}"
    return f"file is damaged {where}: {str(error).partition(chr(10))[0]}"


def read_parquet(path: str) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """Yield (row, columns); a damaged row group loses its remaining rows, the others are kept."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = end = 0
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        yield 0, RowError(describe_damage(error, 0))
        return
    with table:
        for group in range(table.num_row_groups):
            row, end = end, end + table.metadata.row_group(group).num_rows
            try:
                for batch in table.iter_batches(_BATCH_ROWS, row_groups=[group], use_threads=False):
                    for value in _batch_rows(batch):
                        yield row, value
                        row += 1
            except (pa.ArrowException, OSError) as error:
                yield row, RowError(f"{describe_damage(error, row)}; {end - row} rows are lost")


def _batch_rows(batch: pa.RecordBatch) -> list[dict[str, Any] | RowError]:
    try:
        return [_plain(row) for row in batch.to_pylist()]
    except (ValueError, OverflowError) as error:  # invalid UTF-8, or a date that Python cannot hold, in some row
        if batch.num_rows == 1:
            return [RowError(f"a column cannot be read: {error}")]
        return [row for index in range(batch.num_rows) for row in _batch_rows(batch.slice(index, 1))]


def _plain(value: Any) -> Any:
    """Return the value as JSON has it: bytes in base64, dates in ISO format, other types by their `str`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
