"""Read the token artifact: memory-mapped ids, one array per shard, documents by their offsets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llmkit.core.errors import DataError
from llmkit.core.reading import read_json, reading
from llmkit.data.artifacts import Tokens
from llmkit.data.split import Split


class TokenSplit:
    """One split of a token artifact, memory-mapped: opening costs 8 bytes per document, whatever the tokens.

    Attributes:
        shards: Flat ids of each shard, `[num_tokens of the shard]`, read-only views of the files.
        offsets: `[num_documents + 1]` int64: where each document starts in the shards laid one after another.
        num_documents: Number of documents, empty ones included.
        num_tokens: Number of stored tokens, without specials.
        num_bytes: UTF-8 bytes of all the documents' text.

    Args:
        directory: The token artifact.
        split: Which split.

    Raises:
        DataError: The split is missing, holds no tokens, or cannot be read.
    """

    def __init__(self, directory: Path, split: Split) -> None:
        self._directory, self._split = directory, split
        batches = _read_batches(directory, split)
        columns = [batch.column("input_ids") for batch in batches]
        local = [column.offsets.to_numpy() for column in columns]
        self.shards: list[NDArray[Any]] = [
            column.values.to_numpy(zero_copy_only=True)[ends[0] : ends[-1]]
            for column, ends in zip(columns, local, strict=True)
        ]
        self._segments = [batch.column("segments") for batch in batches]
        self._ids = [batch.column("id") for batch in batches]
        self._shard_starts = cumulative([shard.size for shard in self.shards])
        self._first_documents = cumulative([len(column) for column in columns])
        parts = [ends[1:] + (start - ends[0]) for start, ends in zip(self._shard_starts, local, strict=False)]
        self.offsets: NDArray[np.int64] = np.concatenate([np.zeros(1, np.int64), *parts])
        self.num_documents, self.num_tokens = self.offsets.size - 1, int(self.offsets[-1])
        self.num_bytes = sum(int(batch.column("num_bytes").to_numpy().sum()) for batch in batches)
        if not self.num_tokens:
            raise DataError(
                f"{directory}: split '{split}' holds no tokens",
                f"check the corpus it was made of: llmkit lineage {directory}",
            )

    def __reduce__(self) -> tuple[type[TokenSplit], tuple[Path, Split]]:
        # A worker process maps the files itself; pickled Arrow arrays would be copies of whole shards.
        return type(self), (self._directory, self._split)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document, `[num_documents]`; computed at each access, `offsets` is what is kept."""
        return np.diff(self.offsets)

    def document(self, index: int) -> NDArray[Any]:
        """Return a document's ids, `[length]`, as a read-only view of the file."""
        shard, _ = self._locate(index)
        start, end = self.offsets[index : index + 2] - self._shard_starts[shard]
        return self.shards[shard][start:end]

    def segments(self, index: int) -> NDArray[np.int32]:
        """Return the token offsets at which the document's sentences start."""
        shard, row = self._locate(index)
        segments: NDArray[np.int32] = self._segments[shard][row].values.to_numpy(zero_copy_only=True)
        return segments

    def sentence_starts(self) -> NDArray[np.int64]:
        """Return the positions of the laid-out shards at which sentences start, `[num_sentences]`, ascending."""
        starts = [np.empty(0, np.int64)]
        for first, column in zip(self._first_documents, self._segments, strict=False):
            ends = column.offsets.to_numpy()
            values = column.values.to_numpy(zero_copy_only=True)[ends[0] : ends[-1]]
            starts.append(np.repeat(self.offsets[first : first + len(column)], np.diff(ends)) + values)
        return np.concatenate(starts)

    def ids(self, documents: NDArray[np.int64]) -> list[str]:
        """Return the documents' ids, in the order of `documents`."""
        located = [self._locate(index) for index in documents.tolist()]
        return [self._ids[shard][row].as_py() for shard, row in located]

    def gather(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ids at positions of the laid-out shards (see `offsets`), in the shape of `positions`."""
        if len(self.shards) == 1:
            return self.shards[0][positions].astype(np.int64)
        shard_of = np.searchsorted(self._shard_starts, positions, side="right") - 1
        gathered = np.empty(positions.shape, np.int64)
        for shard in np.unique(shard_of):
            chosen = shard_of == shard
            gathered[chosen] = self.shards[shard][positions[chosen] - self._shard_starts[shard]]
        return gathered

    def _locate(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.num_documents:
            raise IndexError(f"document {index} of {self.num_documents}")
        shard = int(np.searchsorted(self._first_documents, index, side="right")) - 1
        return shard, int(index - self._first_documents[shard])


class JoinedSplits:
    """One split of several token artifacts, laid one after another.

    Attributes:
        offsets: `[num_documents + 1]` int64: where each document starts.
        num_bytes: UTF-8 bytes of all the documents' text.
    """

    def __init__(self, parts: Sequence[TokenSplit]) -> None:
        self.parts = list(parts)
        self._starts = cumulative([part.num_tokens for part in parts])
        self._first_documents = cumulative([part.num_documents for part in parts])
        ends = [part.offsets[1:] + start for part, start in zip(parts, self._starts, strict=False)]
        self.offsets: NDArray[np.int64] = np.concatenate([np.zeros(1, np.int64), *ends])
        self.num_bytes = sum(part.num_bytes for part in parts)

    def sentence_starts(self) -> NDArray[np.int64]:
        """Return the positions at which sentences start, `[num_sentences]`, ascending."""
        return np.concatenate(
            [part.sentence_starts() + start for part, start in zip(self.parts, self._starts, strict=False)]
        )

    def ids(self, documents: NDArray[np.int64]) -> list[str]:
        """Return the documents' ids, in the order of `documents`."""
        part_of = np.searchsorted(self._first_documents, documents, side="right") - 1
        local = documents - self._first_documents[part_of]
        return [self.parts[part].ids(local[i : i + 1])[0] for i, part in enumerate(part_of.tolist())]

    def gather(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ids at positions, in the shape of `positions`."""
        if len(self.parts) == 1:
            return self.parts[0].gather(positions)
        part_of = np.searchsorted(self._starts, positions, side="right") - 1
        gathered = np.empty(positions.shape, np.int64)
        for index in np.unique(part_of):
            chosen = part_of == index
            gathered[chosen] = self.parts[index].gather(positions[chosen] - self._starts[index])
        return gathered


def _read_batches(directory: Path, split: Split) -> list[Any]:
    if not (directory / Tokens.DICT).exists():
        raise DataError(f"{directory} holds no tokens", f"make them: llmkit tokenize -i CORPUS -o {directory}")
    with reading(directory / Tokens.DICT):
        splits = list[str](read_json(directory / Tokens.DICT, "splits")["splits"])
    if split not in splits:
        raise DataError(
            f"{directory}: no split '{split}'; splits there: {', '.join(splits) or 'none'}",
            f"make one beside it that has: llmkit tokenize -i CORPUS -o OTHER --set {split}_fraction=0.01"
            if split != "train"
            else "lower validation_fraction and test_fraction, or add documents",
        )
    path = directory / split / Tokens.STATE
    with reading(path):
        names = [str(file["filename"]) for file in read_json(path, "_data_files")["_data_files"]]
    return [batch for name in names for batch in _read_shard(directory / split / Path(name).name)]


def _read_shard(path: Path) -> list[Any]:
    """Map a shard, and check that its documents lie within it: damaged offsets would read what is not there."""
    with reading(path):
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            if missing := {"id", "num_bytes", "input_ids", "segments"} - set(stream.schema.names):
                raise ValueError(f"no column {', '.join(sorted(missing))}")
            batches = list(stream)
        for column in (batch.column(name) for batch in batches for name in ("input_ids", "segments")):
            ends = column.offsets.to_numpy()
            if (np.diff(ends) < 0).any() or (ends.size and not 0 <= ends[0] <= ends[-1] <= len(column.values)):
                raise ValueError("documents that lie outside of it")
        for batch in batches:
            batch.column("id").validate(full=True)
    return batches


def cumulative(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return where each of several parts starts, and the end of the last."""
    return np.cumsum([0, *sizes], dtype=np.int64)
