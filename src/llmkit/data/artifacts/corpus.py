"""Documents, and labelled rows, in Parquet shards; `llmkit.data.corpus` says what is in a row, and writes them.

DIR/README.md  data-00000.parquet ...  report.json  report.html  rejected/sample.parquet
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.core.reading import reading
from llmkit.data.artifacts._folder import Folder

if TYPE_CHECKING:
    import pyarrow.parquet as pq

ROWS_PER_READ = 1024


class Corpus(Folder):
    """Kind `corpus`."""

    KIND = "corpus"
    PAYLOAD: ClassVar[tuple[str, ...]] = ("data-*.parquet",)
    COUNTS = "report.json"
    """What happened to every row, for programs."""
    REJECTED = "rejected"
    """Folder with a sample of what was dropped: no part of the data."""
    SAMPLE = "sample.parquet"

    @staticmethod
    def shard_name(number: int) -> str:
        """Return the name of a shard; sorted by name is sorted by number."""
        return f"data-{number:05}.parquet"

    @classmethod
    def is_shard(cls, name: str) -> bool:
        """Tell the data from what lies beside it, by a file's name."""
        return fnmatchcase(name, cls.PAYLOAD[0])

    def files(self) -> list[Path]:
        """Return the shards in order."""
        return sorted(self.path.glob(self.PAYLOAD[0]))

    def rows(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows in order, a batch of them in memory at a time.

        Raises:
            DataError: A shard is damaged, or lacks a column.
        """
        for path in self.files():
            for batch in read_rows(path, columns, size=ROWS_PER_READ):
                yield from batch


def read_rows(
    path: Path, columns: Sequence[str] | None = None, *, groups: Sequence[int] | None = None, size: int
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a shard, `size` of them at a time.

    Raises:
        DataError: The shard is damaged, or lacks a column.
    """
    import pyarrow.parquet as pq

    with reading(path), pq.ParquetFile(path) as file:
        if missing := sorted({*(columns or ())} - {*file.schema_arrow.names}):
            raise ValueError(f"no column {', '.join(missing)}")
        for batch in file.iter_batches(size, row_groups=groups, columns=columns):
            yield batch.to_pylist()


def shard_metadata(path: Path) -> pq.FileMetaData:
    """Return what a shard says of itself: its columns and row groups.

    Raises:
        DataError: The shard is damaged, or has no column `text`.
    """
    import pyarrow.parquet as pq

    with reading(path):
        metadata = pq.read_metadata(path)
        if "text" not in metadata.schema.names:
            raise ValueError("no column text")
    return metadata


class Examples(Corpus):
    """Kind `examples`: the same for labelled rows."""

    KIND = "examples"
