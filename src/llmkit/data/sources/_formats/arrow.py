"""Arrow IPC, as a stream or a file: what `datasets` writes with `save_to_disk`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from llmkit.data.sources import Broken, Record, Span
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._formats.parquet import read_batch
from llmkit.data.sources._streams import DAMAGE, describe_damage

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 256
_MAGIC = b"ARROW1"
_MAGIC_BYTES = 8
_CONTINUES = b"\xff\xff\xff\xff"
"""What every message begins with."""
"""The file format is the stream format behind so many bytes, and a table of contents at the end."""


class Arrow(Format):
    """Rows are read from one record batch at a time, and of that a few hundred at a time.

    What is damaged costs its own rows: those of a batch that cannot be read, or those whose values lie outside of it,
    which Arrow itself would read beyond its memory.
    """

    suffixes = (".arrow",)

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:  # noqa: ARG002 - always whole
        """Yield the rows."""
        row = 0
        for number, batch in enumerate(_batches(reading)):
            if isinstance(batch, _Damage):
                num_rows = batch.num_rows(number, reading)
                lost = f"; {num_rows:,} rows are lost" if num_rows else ""
                yield Broken(row, describe_damage(batch.error, row) + lost, num_rows=max(1, num_rows))
                row += num_rows
                if not num_rows and batch.of != "batch":
                    return  # nobody knows where the next batch begins
                continue
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                part = batch.slice(start, _BATCH_ROWS)
                yield from _read(part, row, reading)
                row += part.num_rows


@dataclass(frozen=True)
class _Damage:
    """What is wrong with a batch, or with the file.

    Attributes:
        error: As Arrow says it.
        of: What is damaged: the file, a batch of it, or one in a stream, where nothing but its length leads on.
    """

    error: Exception
    of: Literal["file", "batch", "stream"] = "file"

    def num_rows(self, number: int, reading: Reading) -> int:
        """Return how many rows the batch with this number had, as far as can be known: else 0."""
        length = 0 if self.of == "file" else next(islice(_lengths(reading), number, None), 0)
        return length if 0 < length <= max(reading.file.num_bytes, _BATCH_ROWS) else 0


def _read(batch: pa.RecordBatch, row: int, reading: Reading) -> Iterator[Record | Broken]:
    """Yield the rows of a batch; if its values are not where they should be, one row at a time."""
    wrong = _what_is_wrong(batch)
    if not wrong:
        yield from read_batch(batch, row, reading)
    elif batch.num_rows == 1:
        yield Broken(row, f"the row is damaged: {wrong}")
    else:
        for index in range(batch.num_rows):
            yield from _read(batch.slice(index, 1), row + index, reading)


def _what_is_wrong(batch: pa.RecordBatch) -> str:
    """Check lengths and offsets, at several GB/s; bytes that are no UTF-8 are no damage to what is around them."""
    import pyarrow as pa

    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            if "UTF8" not in str(error):
                return str(error).partition("\n")[0]
    return ""


def _batches(reading: Reading) -> Iterator[pa.RecordBatch | _Damage]:
    """Yield the batches, or what is in the place of those that cannot be read."""
    import pyarrow as pa

    damage = _damage()
    try:
        with reading.open_bytes() as stream:
            magic = stream.peek(len(_MAGIC))[: len(_MAGIC)]
            if not magic:
                return
            if magic != _MAGIC:
                yield from _in_stream(stream)
                return
        with reading.open_seekable() as raw:
            try:
                file = pa.ipc.open_file(pa.PythonFile(raw, "r"))
            except damage as error:  # in its table of contents, as a rule, and without that it is a stream
                raw.seek(_MAGIC_BYTES)
                yield from _in_stream(raw)
                yield _Damage(error)
                return
            for index in range(file.num_record_batches):
                try:
                    yield file.get_batch(index)
                except damage as error:
                    yield _Damage(error, "batch")
    except damage as error:
        yield _Damage(error)


def _in_stream(stream: Any) -> Iterator[pa.RecordBatch | _Damage]:
    import pyarrow as pa

    """Yield the batches of a stream, and of those that were joined to it."""
    batches = pa.ipc.open_stream(pa.PythonFile(stream, "r"))
    while True:
        try:
            yield batches.read_next_batch()
        except StopIteration:
            if not _goes_on(stream):
                return
            batches = pa.ipc.open_stream(pa.PythonFile(stream, "r"))
        except _damage() as error:
            yield _Damage(error, "stream")


def _goes_on(stream: Any) -> bool:
    """Tell whether another stream begins behind the end of one; the table of contents of a file does not."""
    begin: bytes = stream.peek(4)[:4] if hasattr(stream, "peek") else b""
    return begin == _CONTINUES


def _damage() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    return pa.ArrowException, MemoryError, OverflowError, *DAMAGE


def _lengths(reading: Reading) -> Iterator[int]:
    """Yield how many rows each batch has, as what stands before each of them says, up to a damaged one."""
    import pyarrow as pa

    damage: tuple[type[Exception], ...] = (struct.error, *_damage())
    try:
        with reading.open_bytes() as stream:
            if stream.peek(len(_MAGIC)).startswith(_MAGIC):
                stream.read(_MAGIC_BYTES)
            for message in pa.ipc.MessageReader.open_stream(pa.PythonFile(stream, "r")):
                if message.type == "record batch":
                    yield _length(message.metadata.to_pybytes())
    except damage:
        return


def _length(message: bytes) -> int:
    """Return the length in a message's metadata, a Flatbuffers table: `Message.header.length`."""
    (root,) = struct.unpack_from("<I", message)
    header = _field(message, root, 2)
    (offset,) = struct.unpack_from("<I", message, header)
    length = _field(message, header + offset, 0)
    return int(struct.unpack_from("<q", message, length)[0])


def _field(message: bytes, table: int, number: int) -> int:
    """Return where a field of a table lies, by the table's list of offsets."""
    (back,) = struct.unpack_from("<i", message, table)
    (offset,) = struct.unpack_from("<H", message, table - back + 4 + 2 * number)
    return table + int(offset)


FORMAT = Arrow()
