"""The corpus artifact: documents in Parquet shards, with a card so that `datasets.load_dataset` finds them.

A corpus row is `{id, text, source, language, meta}`; a labelled row has the columns of its kind as well, which the
manifest of an examples artifact names. `meta` is a JSON string: every source has other columns, and Parquet wants one
schema.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import PydanticCustomError

from llmkit.core.digest import digest_file, digest_text
from llmkit.core.errors import DataError
from llmkit.core.json import dumps
from llmkit.core.manifest import read_manifest
from llmkit.core.registry import Family
from llmkit.data.artifacts import Corpus
from llmkit.data.chat import CONVERSATION
from llmkit.data.rows import SHARED_COLUMNS, Row

UNKNOWN_LANGUAGE = "und"
"""BCP 47 for undetermined: no step has said what language the document is in."""
SHARD_BYTES = 512 * 2**20
"""Text bytes per Parquet file."""
ROWS_PER_WRITE = 1024
BYTES_PER_WRITE = 8 * 2**20
"""Text bytes per row group: what a reader holds at a time."""

_SOURCES_ON_CARD = 50
"""A directory of text files has as many sources as files."""


def schema_of(row: Row | None) -> pa.Schema:
    """Return the schema of a corpus (None), or of examples of one kind of row."""
    own = [] if row is None else [field for field in row.schema() if field.name not in SHARED_COLUMNS]
    return pa.schema([*(pa.field(name, pa.string()) for name in SHARED_COLUMNS), *own])


@dataclass(slots=True)
class Document:
    """One document on its way through the steps.

    Attributes:
        id: 32 hexadecimal digits; see `document_id`.
        text: The text; for labelled rows the text that stands for the row, so that filters and dedup can read it.
        source: Name of the source.
        language: BCP 47 tag.
        row: Labelled rows only: the row.
        kind: Labelled rows only: what kind of row it is.
        meta: What else travels along.
        counts: What steps counted in this document, such as redactions per type; the report adds them up.
        cached: What was computed about the text and is shared by the steps; see `llmkit.cleaning.features`.
    """

    id: str
    text: str
    source: str
    language: str = UNKNOWN_LANGUAGE
    row: dict[str, Any] | None = None
    kind: Row | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    cached: Any = None

    def count(self, name: str, number: int = 1) -> None:
        """Count something that a step did to this document, for the report."""
        self.counts[name] = self.counts.get(name, 0) + number

    def columns(self) -> dict[str, Any]:
        """Return the Parquet row."""
        meta = dumps(self.meta, sort_keys=True)
        columns = {"id": self.id, "text": self.text, "source": self.source, "language": self.language, "meta": meta}
        return columns if self.row is None else {**columns, **self.row}


def document_id(source: str, file: str, row: int, text: str) -> str:
    """Return a document's id: from the source, the file's relative name, the row and the raw text.

    Never from an absolute path or a counter, so that it is the same wherever the input lies and whoever reads it.
    """
    key = "\0".join((source, file, str(row), text)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(key, digest_size=16).hexdigest()


class CorpusWriter:
    """Write rows to `data-00000.parquet`, `data-00001.parquet` ... in the order given.

    Args:
        directory: Where to write.
        row: What kind of labelled rows are written; None for a corpus.
        shard_bytes: Start a new file after this many bytes of text.
    """

    def __init__(self, directory: Path, row: Row | None = None, shard_bytes: int = SHARD_BYTES) -> None:
        self.directory = directory
        self.schema = schema_of(row)
        self.shard_bytes = shard_bytes
        self.num_documents = 0
        self.num_bytes = 0
        self._columns: dict[str, list[Any]] = {name: [] for name in self.schema.names}
        self._pending = 0
        self._shard = -1
        self._shard_size = shard_bytes
        self._writer: pq.ParquetWriter | None = None

    def write(self, document: Document) -> None:
        """Append one document."""
        text = document.text
        size = len(text) if text.isascii() else len(text.encode("utf-8"))
        if self._shard_size >= self.shard_bytes:
            self._next_shard()
        columns = document.columns()
        for name, values in self._columns.items():
            values.append(columns.get(name))  # of several kinds that are joined, one may hold less
        self._shard_size += size
        self._pending += size
        self.num_documents += 1
        self.num_bytes += size
        if len(self._columns["id"]) >= ROWS_PER_WRITE or self._pending >= BYTES_PER_WRITE:
            self._flush()

    def close(self) -> None:
        """Finish the last file."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _next_shard(self) -> None:
        self.close()
        self._shard += 1
        self._shard_size = 0
        path = self.directory / Corpus.shard_name(self._shard)
        self._writer = pq.ParquetWriter(
            path, self.schema, compression="zstd", write_statistics=False, use_dictionary=["source", "language"]
        )

    def _flush(self) -> None:
        if self._pending or self._columns["id"]:
            assert self._writer is not None
            arrays = [pa.array(self._columns[field.name], field.type) for field in self.schema]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema))
            self._columns = {name: [] for name in self.schema.names}
            self._pending = 0


def examples_row(directory: Path) -> Row:
    """Return what kind of rows an examples artifact holds.

    Raises:
        DataError: It is of no kind that is known here.
    """
    manifest = read_manifest(directory)
    return kept_row(manifest.details if manifest else {}, str(directory))


def kept_row(details: Mapping[str, Any], where: str) -> Row:
    """Return what kind of rows the details of a manifest name; the first artifacts named none and hold conversations.

    Raises:
        DataError: The kind is not known here; the message names `where` it stands.
    """
    if "row" not in details:
        return CONVERSATION
    try:
        return cast("Row", Family("row").parse(details["row"]))
    except PydanticCustomError as error:
        kind = details["row"].get("type") if isinstance(details["row"], Mapping) else None
        if isinstance(kind, Mapping):  # an artifact, which may be anybody's, does not say what code is run
            raise DataError(
                f"{where} holds rows of the kind '{kind.get('name')}', which was somebody's own: the file with the"
                f" SHA-256 {kind.get('file')}",
                hint=f"name that file where the data are named: row: path/to/file.py:{kind.get('name')}",
            ) from error
        raise DataError(f"{where} holds rows that this version of llmkit does not know: {details['row']}") from error


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def write_card(
    directory: Path,
    *,
    kind: str,
    num_documents: int,
    num_bytes: int,
    sources: Mapping[str, int],
    row: Row | None = None,
) -> None:
    """Write the dataset card README.md; `row` is what kind of rows examples hold.

    Its `configs` entry is what makes `load_dataset(directory)` read the Parquet files: without it the loader picks up
    the JSON files beside them. The digest in it tells its cache one corpus from another: else `load_dataset` takes
    two folders of the same name for one, and hands out the rows of the one it has seen first.
    """
    top = sorted(sources.items(), key=lambda item: (-item[1], item[0]))[:_SOURCES_ON_CARD]
    rest = num_documents - sum(count for _, count in top)
    digest = digest_text(" ".join(digest_file(path) for path in Corpus(directory).files()))
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        f"  data_files: {Corpus.PAYLOAD[0]}",
        f"  description: digest {digest[:32]}",
        "---",
        "",
        f"# {kind.capitalize()}",
        "",
        f"{num_documents:,} documents, {num_bytes:,} bytes of text, made by `llmkit clean`.",
        "",
        *([] if row is None else [f"Rows are {row.describe()}.", ""]),
        "| source | documents |",
        "|---|---|",
        *(f"| {_cell(name)} | {count:,} |" for name, count in top),
        *([f"| and {len(sources) - len(top):,} more | {rest:,} |"] if rest else []),
        "",
        "What was dropped and why: `report.json` and `report.html`, with samples in `rejected/`.",
        "What it was made from: `llmkit lineage DIR`.",
        "",
    ]
    Corpus(directory).card.write_text("\n".join(lines), encoding="utf-8")
