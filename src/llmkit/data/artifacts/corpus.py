"""Documents, and labelled rows, in Parquet shards; `llmkit.data.corpus` says what is in a row, and writes them.

DIR/README.md  data-00000.parquet ...  report.json  report.html  rejected/sample.parquet
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from llmkit.data.artifacts._folder import Folder

ROWS_PER_READ = 1024


class Corpus(Folder):
    """Kind `corpus`."""

    KIND = "corpus"
    PAYLOAD = ("data-*.parquet",)
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
        """Yield the rows in order, a batch of them in memory at a time."""
        import pyarrow.parquet as pq

        for path in self.files():
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=columns):
                    yield from batch.to_pylist()


class Examples(Corpus):
    """Kind `examples`: the same for labelled rows."""

    KIND = "examples"
