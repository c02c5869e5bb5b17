"""Arrow IPC, as a stream or a file: what `datasets` writes with `save_to_disk`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmkit.data.sources import Broken, Record, Span
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._formats.parquet import read_batch
from llmkit.data.sources._streams import DAMAGE, describe_damage

_BATCH_ROWS = 256


class Arrow(Format):
    """Rows are read from one record batch at a time, and of that a few hundred at a time."""

    suffixes = (".arrow",)

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:  # noqa: ARG002 - always whole
        """Yield the rows."""
        import pyarrow as pa

        row = 0
        try:
            for batch in _batches(reading):
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    part = batch.slice(start, _BATCH_ROWS)
                    yield from read_batch(part, row, reading)
                    row += part.num_rows
        except (pa.ArrowException, *DAMAGE) as error:
            yield Broken(row, describe_damage(error, row))


def _batches(reading: Reading) -> Iterator[Any]:
    import pyarrow as pa

    with reading.open_bytes() as stream:
        magic = stream.peek(6)[:6]
        if magic and magic != b"ARROW1":
            yield from pa.ipc.open_stream(pa.PythonFile(stream, "r"))
    if magic == b"ARROW1":
        with reading.open_seekable() as raw:
            file = pa.ipc.open_file(pa.PythonFile(raw, "r"))
            yield from (file.get_batch(index) for index in range(file.num_record_batches))


FORMAT = Arrow()
