"""Raw and decompressed byte streams: what lies before a damaged place is always handed out."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

DAMAGE = (EOFError, zlib.error, lzma.LZMAError, OSError)
"""What the decompressors raise; an `OSError` with a number comes from the operating system instead."""

_TRUNCATED = ("Truncated", "Expected to read", "Expected to be able to read")
"""What Arrow says of a file that is too short, compressed or not."""

MAX_EXPANSION = 500
"""More than this, beyond `FREE_BYTES`, is a decompression bomb. Text shrinks to a third, repeated lines to a 200th."""
FREE_BYTES = 4 * 2**30
BUFFER_BYTES = 2**18


class ZstdStream(io.RawIOBase):
    """Zstandard through Arrow, handing out every byte that comes before a damaged place.

    Arrow forgets what the failing call had already decompressed, up to a whole buffer of good rows. So on failure the
    file is opened again and the last stretch is read byte by byte: a damaged file is decompressed twice.
    """

    def __init__(self, open_raw: Callable[[], BinaryIO]) -> None:
        import pyarrow as pa

        self._open: Callable[[], Any] = lambda: pa.CompressedInputStream(pa.PythonFile(open_raw(), "r"), "zstd")
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


class _Expanded(io.RawIOBase):
    """A decompressor's output up to `limit` bytes; it reads one decompressed piece at a time, so none is lost."""

    def __init__(self, stream: io.BufferedIOBase | io.RawIOBase, raw: BinaryIO | None, limit: int) -> None:
        self._stream = stream
        self._raw = raw
        self._left = limit
        self._read: Callable[[Any], Any] = (
            stream.readinto1 if isinstance(stream, io.BufferedIOBase) else stream.readinto
        )

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._read(buffer))
        self._left -= count
        if self._left < 0:
            raise zlib.error(f"it expands to more than {MAX_EXPANSION} times its size")
        return count

    def close(self) -> None:
        self._stream.close()
        if self._raw is not None:  # a decompressor leaves the file open that it was given
            self._raw.close()
        super().close()


class Section(io.RawIOBase):
    """The bytes of a file from `start` to `stop`."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        file.seek(start)
        self._file = file
        self._left = stop - start

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


_DECOMPRESSORS: dict[str, Callable[[BinaryIO], io.BufferedIOBase]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
CODECS = (*_DECOMPRESSORS, ".zst")
"""Suffixes of compressed files; a format's own suffix stands before it."""


def buffered(raw: io.RawIOBase) -> io.BufferedReader:
    """Return a reader with the buffer size that all files are read with."""
    return io.BufferedReader(raw, BUFFER_BYTES)


def decompress(open_raw: Callable[[], BinaryIO], codec: str, num_bytes: int) -> io.BufferedReader:
    """Return a buffered stream of a compressed file's contents; all members of a concatenation are read.

    Args:
        open_raw: Opens the compressed file.
        codec: One of `CODECS`.
        num_bytes: Compressed size, 0 if unknown, against which the expansion is measured.
    """
    limit = max(FREE_BYTES, num_bytes * MAX_EXPANSION)
    if codec == ".zst":
        return buffered(_Expanded(ZstdStream(open_raw), None, limit))
    raw = open_raw()
    return buffered(_Expanded(_DECOMPRESSORS[codec](raw), raw, limit))


def describe_damage(error: Exception, row: int) -> str:
    """Say what is wrong with the file; a failure of the operating system is raised again, since it may pass.

    Args:
        error: One of `DAMAGE`.
        row: How many rows were read: the number, from 1, of the last good one.
    """
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    where = f"after row {row}" if row else "before the end of its first row"
    if isinstance(error, EOFError) or any(words in str(error) for words in _TRUNCATED):
        return f"file is truncated {where}"
    return f"file is damaged {where}: {str(error).partition(chr(10))[0]}"
