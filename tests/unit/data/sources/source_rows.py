"""What the tests of the source "files" share: write a file in the compression its name says, and read it back."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa

from llmkit.data.sources import Record
from llmkit.data.sources.files import Files

CODECS = ("", ".gz", ".bz2", ".xz", ".zst")


def compress(data: bytes, codec: str) -> bytes:
    if codec == ".zst":
        out = pa.BufferOutputStream()
        with pa.CompressedOutputStream(out, "zstd") as stream:
            stream.write(data)
        return out.getvalue().to_pybytes()
    return {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(codec, bytes)(data)


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = data.encode() if isinstance(data, str) else data
    path.write_bytes(compress(data, path.suffix))
    return path


def read(path, **fields):
    source = Files(path=str(path), **fields)
    return [row for file in source.files() for row in source.read(file)]


def rows(*texts) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


def texts(result):
    return [row.text for row in result if isinstance(row, Record)]


def summary(result):
    """Return the text of a record, the reason of a broken row."""
    return [row.text if isinstance(row, Record) else f"! {row.reason}" for row in result]
