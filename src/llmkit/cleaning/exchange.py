"""Tables of fixed-width records on disk, cut into buckets by key: how tasks hand each other what they found.

Every task writes its records sorted by bucket with the offsets beside them, so that the job of one bucket reads one
contiguous stretch of every task's file and never holds more than its bucket.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmkit.core.durable import fsync

OFFSETS = ".offsets.npy"


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array so that the file is whole or not there: a disk that is full must not leave half a table."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        # Not np.save: when the disk is full, it raises an error that does not say so.
        array = np.ascontiguousarray(array)
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.reshape(-1).view(np.uint8).data if array.size else b"")
    fsync(temporary)
    temporary.replace(path)


def load_array(path: Path) -> NDArray[Any]:
    """Map an array from disk."""
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def save_buckets(path: Path, records: NDArray[Any], buckets: NDArray[Any], num_buckets: int) -> None:
    """Write records sorted by bucket, in their own order within one.

    Args:
        path: The `.npy` file.
        records: `[records]` structured array.
        buckets: `[records]` bucket of each, below `num_buckets`.
        num_buckets: Number of buckets.
    """
    order = np.argsort(buckets, kind="stable")
    offsets = np.zeros(num_buckets + 1, np.int64)
    np.cumsum(np.bincount(buckets, minlength=num_buckets), out=offsets[1:])
    save_array(path, records[order])
    save_array(path.with_suffix(OFFSETS), offsets)


def load_bucket(path: Path, bucket: int) -> NDArray[Any]:
    """Map one bucket's records of one file."""
    start, end = np.load(path.with_suffix(OFFSETS), mmap_mode="r")[bucket : bucket + 2]
    return load_array(path)[start:end]


def join(parts: Iterable[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Join arrays in memory; none give an empty one."""
    parts = [np.asarray(part) for part in parts if len(part)]
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def bucket_of(keys: NDArray[np.uint64], num_buckets: int) -> NDArray[np.int64]:
    """Return each key's bucket: by its top 32 bits, so that the order within a bucket is left to the rest."""
    return ((keys >> np.uint64(32)) * np.uint64(num_buckets) >> np.uint64(32)).astype(np.int64)
