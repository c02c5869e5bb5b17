"""Write a shard of the token artifact: one record batch, put together from files without holding it in memory."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llmkit.core.json import dumps
from llmkit.data.artifacts import Tokens
from llmkit.data.split import Split

_COPY_BYTES = 4 << 20
ROWS = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "source", "language")),
        *((name, pa.int64()) for name in ("num_bytes", "num_tokens", "num_segments")),
    ]
)
"""What is kept of a document beside its ids and segments until the shard is written."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a file."""

    path: Path
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def read(self) -> Iterator[bytes]:
        """Yield its bytes, a few megabytes at a time."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            left = len(self)
            while left:
                piece = file.read(min(left, _COPY_BYTES))
                assert piece, f"{self.path} is shorter than it was"
                left -= len(piece)
                yield piece


class Part(NamedTuple):
    """Documents of one split that wait in a file to become part of a shard.

    Attributes:
        rows: An Arrow stream of a table with the columns of `ROWS`.
        ids: Their ids.
        segments: Their segments, int32.
        num_documents: How many documents.
        num_tokens: How many ids.
        num_bytes: UTF-8 bytes of the text.
    """

    rows: Stretch
    ids: Stretch
    segments: Stretch
    num_documents: int
    num_tokens: int
    num_bytes: int

    def table(self) -> pa.Table:
        """Return the rows."""
        return pa.ipc.open_stream(b"".join(self.rows.read())).read_all()


def write_shard(
    path: Path,
    rows: pa.Table,
    ids: Sequence[Stretch],
    segments: Sequence[Stretch],
    dtype: np.dtype[Any],
) -> str:
    """Write one shard, a single record batch, in the memory of its rows: ids and segments are copied from file to file.

    Args:
        path: The file.
        rows: The documents, with the columns of `ROWS`.
        ids: The bytes of their ids, one after another.
        segments: The bytes of their segments, int32.
        dtype: Type of the ids.

    Returns:
        A digest of the content.
    """
    rows = rows.combine_chunks()
    names = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in rows.columns[:4]]
    with path.open("wb") as file:
        sink = _Spliced(file)
        columns = [
            *names,
            sink.list_array(ids, rows.column("num_tokens"), dtype),
            sink.list_array(segments, rows.column("num_segments"), np.dtype(np.int32)),
        ]
        batch = pa.record_batch(columns, names=[*ROWS.names[:4], "input_ids", "segments"])
        with pa.PythonFile(sink, mode="w") as out, pa.ipc.new_stream(out, batch.schema) as stream:
            stream.write_batch(batch)
    return sink.digest.hexdigest()


def int_array(values: NDArray[Any]) -> Any:
    """Return an Arrow array over integers of NumPy; `pa.array` would import pandas, 30 MB in every worker."""
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [None, buffer])


class _Spliced:
    """A file to which Arrow writes a record batch, and that puts other content in the place of some buffers.

    Arrow wants every column as one buffer in memory. Those of the ids are zeros that are never touched, so they take
    address space only, and their content is copied in pieces when Arrow writes them.
    """

    closed = False

    def __init__(self, file: Any) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self._file = file
        self._contents: dict[int, Sequence[Stretch]] = {}

    def list_array(self, content: Sequence[Stretch], lengths: pa.ChunkedArray, dtype: np.dtype[Any]) -> Any:
        """Return the column of lists whose values have this content."""
        counts = [np.frombuffer(chunk.buffers()[1], np.int64, len(chunk), chunk.offset * 8) for chunk in lengths.chunks]
        ends = np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]), dtype=np.int64)
        size = sum(map(len, content))
        assert size == ends[-1] * dtype.itemsize, f"{size} bytes for {ends[-1]} values of {dtype}"
        buffer = pa.py_buffer(mmap.mmap(-1, size) if size else b"")
        if size:
            self._contents[buffer.address] = content
        values = pa.Array.from_buffers(pa.from_numpy_dtype(dtype), int(ends[-1]), [None, buffer])
        return pa.ListArray.from_arrays(int_array(ends.astype(np.int32)), values)

    def write(self, data: Any) -> int:
        for piece in self._pieces(data):
            self.digest.update(piece)
            self._file.write(piece)
        return len(data)

    def _pieces(self, data: Any) -> Any:
        content = self._contents.get(data.address) if isinstance(data, pa.Buffer) else None
        if content is None:
            yield data
            return
        for part in content:
            yield from part.read()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        pass


def finish_split(directory: Path, shards: Sequence[tuple[Path, str]], dtype: np.dtype[Any]) -> None:
    """Give a split's shards their names and write the files by which `datasets` knows them.

    Args:
        directory: Directory of the split; its name is the split's.
        shards: In order, where each shard was written, and the digest of its content.
        dtype: Type of the ids.
    """
    names = [Tokens.shard_name(i, len(shards)) for i in range(len(shards))]
    directory.mkdir(parents=True, exist_ok=True)
    for (path, _), name in zip(shards, names, strict=True):
        if path.exists():  # else an earlier run was killed after it had moved this one
            path.rename(directory / name)
    # The fingerprint names cached results in `datasets`: it must follow the content, or `map` returns stale rows.
    fingerprint = hashlib.blake2b(" ".join(digest for _, digest in shards).encode(), digest_size=8)
    _write_json(directory / Tokens.INFO, {"features": _features(dtype)})
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": fingerprint.hexdigest(),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": directory.name,
    }
    _write_json(directory / Tokens.STATE, state)


def finish_dict(directory: Path, splits: Sequence[Split]) -> None:
    """Write the file by which `datasets` knows the splits."""
    directory.mkdir(parents=True, exist_ok=True)
    _write_json(directory / Tokens.DICT, {"splits": list(splits)})


def _features(dtype: np.dtype[Any]) -> dict[str, Any]:
    scalars = {"id": "string", "source": "string", "language": "string", "num_bytes": "int64"}
    lists = {"input_ids": dtype.name, "segments": "int32"}
    return {name: {"dtype": kind, "_type": "Value"} for name, kind in scalars.items()} | {
        name: {"feature": {"dtype": kind, "_type": "Value"}, "_type": "List"} for name, kind in lists.items()
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(dumps(content, indent=2, ascii_only=True) + "\n", encoding="utf-8")
