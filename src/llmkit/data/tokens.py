"""The token artifact's data: Arrow shards of one record batch each, so that a shard's ids are one memory-mapped array.

One row is one document, without special tokens:
`{"id": "a.txt:0:9f2c", "source": "web", "language": "en", "num_bytes": 11, "input_ids": [31, 7, 902], "segments": [0]}`

    DIR/dataset_dict.json
    DIR/train/data-00000-of-00002.arrow, state.json, dataset_info.json

`datasets.load_from_disk(DIR)` loads it. `save_to_disk` is not used for writing: its record batches of 1,000 rows leave
gaps between the values.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from llmkit.core.errors import DataError
from llmkit.data.artifacts import Tokens
from llmkit.data.split import SPLITS, Split
from llmkit.data.token_shards import ROWS, finish_dict, finish_split, write_shard

DEFAULT_SHARD_BYTES = 1 << 30
_MAX_OFFSET = 2**31 - 1


@dataclass(slots=True)
class SplitCounts:
    """What one split holds; `num_bytes` is the documents' UTF-8 text, not the shards."""

    num_documents: int = 0
    num_tokens: int = 0
    num_bytes: int = 0


class TokenShardWriter:
    """Writes tokenized documents; the same documents in the same order give the same bytes.

    Holds at most one shard per split in memory. The directory is the stage's own: splits that a killed run left in it
    are removed.

    Args:
        directory: Where the splits go; created if missing.
        vocab_size: Number of ids the tokenizer has, added tokens included; up to 65,536 the ids are stored as uint16.
        max_shard_bytes: Size at which a shard is closed, below 2 GiB, so that 32-bit offsets always suffice.
    """

    def __init__(self, directory: Path, *, vocab_size: int, max_shard_bytes: int = DEFAULT_SHARD_BYTES) -> None:
        if not 0 < max_shard_bytes <= _MAX_OFFSET:
            raise ValueError(f"max_shard_bytes must be in 1..{_MAX_OFFSET}, not {max_shard_bytes}")
        self._directory = directory
        self._vocab_size = vocab_size
        self._max_shard_bytes = max_shard_bytes
        self._dtype: np.dtype[Any] = np.dtype(np.uint16 if vocab_size <= 65_536 else np.uint32)
        self._splits: dict[Split, _SplitWriter] = {}
        (directory / Tokens.DICT).unlink(missing_ok=True)
        for split in SPLITS:
            if (directory / split).exists():
                shutil.rmtree(directory / split)

    def append(
        self,
        split: Split,
        *,
        id: str,  # noqa: A002 - the column's name
        source: str,
        language: str,
        num_bytes: int,
        input_ids: ArrayLike,
        segments: ArrayLike = (),
    ) -> None:
        """Add one document.

        Args:
            split: The document's side, from `split_of`.
            id: Document id.
            source: Name of the source.
            language: Language code.
            num_bytes: Length of the text in UTF-8 bytes.
            input_ids: Token ids without specials, `[length]`.
            segments: Token offsets at which a sentence starts, strictly ascending, each below `length`.

        Raises:
            DataError: An id is not in the vocabulary, or the document has 2**31 tokens or more.
        """
        ids = self._checked(id, _integers(input_ids))
        starts = _integers(segments)
        if starts.size and (starts[0] < 0 or starts[-1] >= ids.size or (starts[1:] <= starts[:-1]).any()):
            raise ValueError(f"document {id}: segments must ascend within its {ids.size} tokens")
        if split not in self._splits:
            self._splits[split] = _SplitWriter(self._directory / split, self._dtype, self._max_shard_bytes)
        self._splits[split].append((id, source, language, num_bytes), ids, starts.astype(np.int32, copy=False))

    def finish(self) -> dict[Split, SplitCounts]:
        """Write what is left and return the counts of the splits that hold documents; the others are not written."""
        written = [split for split in SPLITS if split in self._splits]
        for split in written:
            self._splits[split].finish()
        finish_dict(self._directory, written)
        return {split: self._splits[split].counts for split in written}

    def _checked(self, document: str, ids: NDArray[Any]) -> NDArray[Any]:
        if ids.size > _MAX_OFFSET:
            raise DataError(f"document {document} has {ids.size:,} tokens", "split it into several documents")
        if ids.size and (ids.min() < 0 or ids.max() >= self._vocab_size):
            wrong = ids[(ids < 0) | (ids >= self._vocab_size)][0]
            raise DataError(
                f"document {document}: token id {wrong} is not in the vocabulary of {self._vocab_size:,}",
                "check that the tokenizer's files belong together: an added token may be missing from its vocabulary",
            )
        return ids.astype(self._dtype, copy=False)


class _SplitWriter:
    """One split: the open shard's columns, and the shards closed so far under provisional names."""

    def __init__(self, directory: Path, dtype: np.dtype[Any], max_shard_bytes: int) -> None:
        directory.mkdir(parents=True)
        self.counts = SplitCounts()
        self._directory = directory
        self._dtype = dtype
        self._max_shard_bytes = max_shard_bytes
        self._shards: list[tuple[Path, str]] = []
        self._clear()

    def _clear(self) -> None:
        self._rows: list[tuple[str, str, str, int, int, int]] = []
        # bytearray grows by an eighth with realloc, so a full shard needs little more memory than its own size.
        self._values, self._segments = bytearray(), bytearray()
        self._size = 0

    def append(self, row: tuple[str, str, str, int], ids: NDArray[Any], segments: NDArray[np.int32]) -> None:
        size = ids.nbytes + segments.nbytes + sum(len(name.encode()) for name in row[:3]) + 28  # 5 offsets, num_bytes
        if self._rows and self._size + size > self._max_shard_bytes:
            self._flush()
        self._rows.append((*row, ids.size, segments.size))
        self._values += ids.tobytes()
        self._segments += segments.tobytes()
        self._size += size
        self.counts.num_documents += 1
        self.counts.num_tokens += ids.size
        self.counts.num_bytes += row[3]

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True)
        rows = pa.table([pa.array(column, kind) for column, kind in zip(columns, ROWS.types, strict=True)], schema=ROWS)
        path = self._directory / f"data-{len(self._shards):05d}.arrow.partial"
        self._shards.append((path, write_shard(path, rows, [self._values], [self._segments], self._dtype)))
        self._clear()

    def finish(self) -> None:
        if self._rows:
            self._flush()
        finish_split(self._directory, self._shards, self._dtype)


def _integers(values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if array.size == 0:  # an empty list has dtype float64
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"expected a one-dimensional array of integers, not {array.dtype} {array.shape}")
    return array
