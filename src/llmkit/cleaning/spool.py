"""Read a file that cannot be cut, such as a compressed one, once, and leave its rows in chunks of equal size."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

from llmkit.core.durable import fsync
from llmkit.core.inputs import RawFile
from llmkit.data.sources import Broken, Record, Source

_ROWS_PER_BATCH = 256


def spool_file(job: tuple[Source, RawFile, Path, int]) -> list[int]:
    """Write the rows of a file to `FOLDER/000000`, `000001` ... and return the bytes of text in each.

    Args:
        job: The source, its file, the folder, and the bytes of text after which a chunk ends.
    """
    source, file, folder, chunk_bytes = job
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sizes: list[int] = []
    rows, size = [], 0
    for row in source.read(file):
        rows.append(row)
        size += len(row.text if isinstance(row, Record) else row.excerpt)
        if size >= chunk_bytes:
            sizes.append(_write(folder / f"{len(sizes):06}", rows, size))
            rows, size = [], 0
    if rows or not sizes:
        sizes.append(_write(folder / f"{len(sizes):06}", rows, size))
    return sizes


def read_chunk(path: Path) -> Iterator[Record | Broken]:
    """Yield the rows of a chunk."""
    with path.open("rb") as file:
        while True:
            try:
                yield from pickle.load(file)  # noqa: S301 - written by ourselves, in our own scratch folder
            except EOFError:
                return


def _write(path: Path, rows: list[Record | Broken], size: int) -> int:
    with path.open("wb") as file:
        for start in range(0, len(rows), _ROWS_PER_BATCH):
            pickle.dump(rows[start : start + _ROWS_PER_BATCH], file, protocol=pickle.HIGHEST_PROTOCOL)
    fsync(path)
    return size
