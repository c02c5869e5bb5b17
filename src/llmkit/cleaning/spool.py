"""Read a file that cannot be cut, such as a compressed one, once, and leave its rows in chunks of equal size."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llmkit.core.durable import fsync
from llmkit.core.inputs import RawFile
from llmkit.data.sources import Broken, Record, Source

Row = Record | Broken
MAX_ROWS = 2**18
"""Rows per chunk: what the steps note of every row of a task is held in memory, and rows may be empty."""
_ROWS_PER_BATCH = 256


def spool_file(job: tuple[Source, RawFile, Path, int]) -> list[int]:
    """Write the rows of a file to `FOLDER/000000`, `000001` ... and return the characters of text in each.

    Args:
        job: The source, its file, the folder, and the characters of text after which a chunk ends.
    """
    source, file, folder, chunk_bytes = job
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sizes: list[int] = []
    rows = iter(source.read(file))
    row = next(rows, None)
    while row is not None or not sizes:
        path = folder / f"{len(sizes):06}"
        with path.open("wb") as out:
            row, size = _fill(out, row, rows, chunk_bytes)
        fsync(path)
        sizes.append(size)
    return sizes


def read_chunk(path: Path) -> Iterator[Record | Broken]:
    """Yield the rows of a chunk."""
    with path.open("rb") as file:
        while True:
            try:
                yield from pickle.load(file)  # noqa: S301 - written by ourselves, in our own scratch folder
            except EOFError:
                return


def _fill(out: BinaryIO, row: Row | None, rows: Iterator[Row], chunk_bytes: int) -> tuple[Row | None, int]:
    """Write a chunk of rows, a batch in memory at a time; return the row after it and the size of its text."""
    batch: list[Row] = []
    num_rows = size = 0
    while row is not None and size < chunk_bytes and num_rows < MAX_ROWS:
        batch.append(row)
        num_rows += 1
        size += len(row.text if isinstance(row, Record) else row.excerpt)
        if len(batch) == _ROWS_PER_BATCH:
            pickle.dump(batch, out, protocol=pickle.HIGHEST_PROTOCOL)
            batch = []
        row = next(rows, None)
    if batch:
        pickle.dump(batch, out, protocol=pickle.HIGHEST_PROTOCOL)
    return row, size
