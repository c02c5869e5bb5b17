"""Parquet: one row a row; a damaged row group costs no other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, Record, Span
from llmkit.data.sources._arrow import batch_rows
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._streams import DAMAGE, describe_damage

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_ROWS = 256


class Parquet(Format):
    """Values that JSON does not have become text, and NaN null; rows of our own corpora come back as they were."""

    suffixes = (".parquet", ".pq")

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:
        """Yield the rows; a batch of them is in memory at a time."""
        import pyarrow as pa

        with contextlib.ExitStack() as stack:
            try:
                table = _open(stack.enter_context(reading.open_seekable()))
            except (pa.ArrowException, *DAMAGE) as error:
                yield Broken(0, describe_damage(error, 0))
                return
            first, row = (span.start, span.row) if span else (0, 0)
            last = span.stop if span and span.stop is not None else table.num_row_groups
            for group in range(first, last):
                end = row + table.metadata.row_group(group).num_rows
                try:
                    for batch in table.iter_batches(_BATCH_ROWS, row_groups=[group], use_threads=False):
                        yield from read_batch(batch, row, reading)
                        row += batch.num_rows
                except (pa.ArrowException, OSError) as error:
                    lost = end - row
                    yield Broken(row, f"{describe_damage(error, row)}; {lost} rows are lost", num_rows=lost)
                row = end

    def spans(self, reading: Reading, num_bytes: int) -> list[Span]:
        """Cut at row groups; not what is compressed as a whole."""
        import pyarrow as pa

        if reading.codec or reading.file.num_bytes <= num_bytes:
            return reading.whole()
        with reading.open_raw() as raw:
            try:
                table = _open(raw)
            except (pa.ArrowException, OSError):
                return reading.whole()  # where `read` says what is wrong with it
            groups = [table.metadata.row_group(group) for group in range(table.num_row_groups)]
            sizes = [_stored_bytes(group) for group in groups]
        spans, start, row, size, rows = [], 0, 0, 0, 0
        for index, group in enumerate(groups):
            size += sizes[index]
            rows += group.num_rows
            if size >= num_bytes or index == len(groups) - 1:
                spans.append(Span(start, index + 1, row, num_bytes=size))
                start, row, size = index + 1, rows, 0
        return spans or reading.whole()


def read_batch(batch: pa.RecordBatch, row: int, reading: Reading) -> Iterator[Record | Broken]:
    """Yield the rows of an Arrow batch, the first of them numbered `row`."""
    columns = reading.columns
    record = columns.restored if columns.restores(batch.schema.names) else columns.record
    for value in batch_rows(batch, columns.used(), reading.encoding):
        try:
            if isinstance(value, RowError):
                raise value
            yield record(row, value)
        except RowError as error:
            yield Broken(row, str(error), excerpt="" if value is error else str(value)[:200])
        row += 1


def _open(raw: BinaryIO) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.PythonFile(raw, "r"), page_checksum_verification=True)


def _stored_bytes(group: Any) -> int:
    return sum(group.column(index).total_compressed_size for index in range(group.num_columns))


FORMAT = Parquet()
