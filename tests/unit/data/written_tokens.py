"""Tokens on disk for the tests that read them, written by what the tokenize stage writes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from llmkit.data.token_shards import ROWS, Stretch, finish_dict, finish_split, write_shard


class Row(NamedTuple):
    """One document."""

    id: str
    input_ids: Sequence[int]
    segments: Sequence[int] = ()
    source: str = ""
    language: str = ""
    num_bytes: int = 1


def write_tokens(
    directory: Path, splits: Mapping[str, Sequence[Row]], *, dtype: Any = np.uint16, rows_per_shard: int = 10**9
) -> Path:
    """Write the splits that have documents."""
    kind = np.dtype(dtype)
    for split, documents in splits.items():
        if not documents:
            continue
        folder = directory / split
        folder.mkdir(parents=True)
        shards = []
        for first in range(0, len(documents), rows_per_shard):
            path = folder / f"new-{first}"
            shards.append((path, _write(path, documents[first : first + rows_per_shard], directory / "ids", kind)))
        finish_split(folder, shards, kind)
    (directory / "ids").unlink()
    finish_dict(directory, [split for split, documents in splits.items() if documents])
    return directory


def _write(path: Path, rows: Sequence[Row], scratch: Path, dtype: np.dtype[Any]) -> str:
    ids = b"".join(np.array(row.input_ids, dtype).tobytes() for row in rows)
    segments = b"".join(np.array(row.segments, np.int32).tobytes() for row in rows)
    scratch.write_bytes(ids + segments)
    places = Stretch(scratch, 0, len(ids)), Stretch(scratch, len(ids), len(ids) + len(segments))
    columns = zip(
        *((r.id, r.source, r.language, r.num_bytes, len(r.input_ids), len(r.segments)) for r in rows), strict=True
    )
    table = pa.table([pa.array(column, kind) for column, kind in zip(columns, ROWS.types, strict=True)], schema=ROWS)
    return write_shard(path, table, [places[0]], [places[1]], dtype)
