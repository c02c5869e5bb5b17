"""Documents between two passes: batches in a file that is whole or not there."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from llmkit.core.durable import fsync
from llmkit.data.corpus import Document

BATCH_BYTES = 2**20


@dataclass(slots=True)
class Entry:
    """A document on its way, with what the report wants to know about it.

    Attributes:
        document: The document.
        file: Path of the raw file it came from.
        measures: What was measured of its text, see `llmkit.cleaning.measures`.
        measured: The text that was measured.
    """

    document: Document
    file: str
    measures: Sequence[float]
    measured: str


class ScratchWriter:
    """Write entries in their order; use it as a context manager: the file appears when it is complete.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_entries = 0
        self._rows: list[tuple[Any, ...]] = []
        self._size = 0

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.with_suffix(".tmp").open("wb")
        return self

    def add(self, entry: Entry) -> None:
        """Append one entry."""
        d = entry.document
        self._rows.append((d.id, d.text, d.source, d.language, d.row, d.kind, d.meta, entry.file, entry.measures))
        self.num_entries += 1
        self._size += len(d.text)
        if self._size >= BATCH_BYTES or len(self._rows) >= 4096:
            self._flush()

    def position(self) -> int:
        """Return the byte at which the next batch begins, having written what was added."""
        self._flush()
        return self._file.tell()

    def _flush(self) -> None:
        if self._rows:
            pickle.dump(self._rows, self._file, protocol=pickle.HIGHEST_PROTOCOL)
        self._rows, self._size = [], 0

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._file.close()
        if kind is None:
            fsync(self.path.with_suffix(".tmp"))
            self.path.with_suffix(".tmp").replace(self.path)


def read_scratch(path: Path, start: int = 0, end: int | None = None) -> Iterator[Entry]:
    """Yield the entries of a file in order, a batch in memory at a time.

    Args:
        path: The file.
        start: Byte at which to begin, the beginning of a batch.
        end: Byte at which to stop; None for all.
    """
    with path.open("rb") as file:
        file.seek(start)
        while end is None or file.tell() < end:
            try:
                rows = pickle.load(file)  # noqa: S301 - written by ourselves, in our own scratch folder
            except EOFError:
                return
            for identifier, text, source, language, row, kind, meta, name, measures in rows:
                document = Document(identifier, text, source, language, row, kind, meta)
                yield Entry(document, name, measures, text)
