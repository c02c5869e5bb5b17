"""What is indexed: documents, rows of tables as text, and triples of a subject, a relation and an object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from llmkit.core.errors import DataError
from llmkit.core.inputs import RawFile
from llmkit.core.json import dumps
from llmkit.core.manifest import read_manifest
from llmkit.data.artifacts import Corpus
from llmkit.data.column_names import listed, nearest_column
from llmkit.data.corpus import document_id
from llmkit.data.sources import Broken, Record, Source
from llmkit.data.sources._columns import meta_of
from llmkit.data.sources._tabular import Tabular

Kind = Literal["document", "row", "triple"]
PARTS = {
    "subject": ("subject", "head", "subj", "主语", "主体", "头实体"),
    "relation": ("relation", "predicate", "property", "rel", "关系", "谓语", "属性"),
    "object": ("object", "tail", "value", "obj", "宾语", "客体", "尾实体"),
}
"""Parts of a triple, each with the names that columns of it have."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to find.

    Attributes:
        id: As in a corpus that `clean` makes of the same files or, of such a corpus, its own.
        kind: What it is.
        text: What is cut into passages.
        source: Name of the source.
        file: Name of its file, relative to the input; empty of an artifact of ours.
        row: Row number within the file, from 0; None of an artifact of ours.
        meta: Columns that are not in the text.
        subject: Of a triple.
        object: Of a triple.
    """

    id: str
    kind: Kind
    text: str
    source: str
    file: str = ""
    row: int | None = None
    meta: Mapping[str, Any] | None = None
    subject: str | None = None
    object: str | None = None


@dataclass(frozen=True)
class Reader:
    """How the rows of one source are read.

    Attributes:
        source: The source.
        files: Its files.
        kind: What its rows are.
        columns: Of a triple, the columns of its parts.
    """

    source: Source
    files: Sequence[RawFile]
    kind: Kind
    columns: Mapping[str, str]

    def describe(self) -> str:
        """Return what is read, for people."""
        if self.kind == "triple":
            return f"triples of {', '.join(map(repr, self.columns.values()))}"
        field = self.source.text_field if isinstance(self.source, Tabular) else "text"
        return f"documents from '{field}'" if self.kind == "document" else "rows of a table, all columns of each"

    def read(self) -> Iterator[tuple[str, Entry | Broken]]:
        """Yield the rows in order, each with the path of its file; of empty ones the text is empty."""
        root = Path(self.source.root())
        if read_manifest(root) is not None:
            for row in Corpus(root).rows(["id", "text", "source", "meta"]):
                yield str(root), Entry(row["id"], "document", row["text"] or "", row["source"] or "", meta=meta_of(row))
            return
        seen: Counter[str] = Counter()
        for file in self.files:
            name = f"{file.name}\0{seen[file.name]}" if seen[file.name] else file.name
            seen[file.name] += 1
            for record in self._records(file):
                yield file.path, record if isinstance(record, Broken) else self._entry(record, file, name)

    def _records(self, file: RawFile) -> Iterator[Record | Broken]:
        if self.kind == "document" or not isinstance(self.source, Tabular):
            yield from self.source.read(file)
            return
        source = self.source.columns_of(file).source
        for record in self.source.raw(file):
            yield record if isinstance(record, Broken) else replace(record, source=source)

    def _entry(self, record: Record, file: RawFile, name: str) -> Entry:
        if self.kind == "document":
            own = document_id(record.source, name, record.row, record.text)
            meta = {**record.fields, **record.meta}
            return Entry(own, "document", record.text, record.source, file.name, record.row, meta)
        fields = record.fields
        own = document_id(record.source, name, record.row, dumps(fields, sort_keys=True, default=str))
        if self.kind == "row":
            return Entry(own, "row", row_text(fields), record.source, file.name, record.row)
        parts = {part: _said(fields.get(column)) for part, column in self.columns.items()}
        meta = {column: value for column, value in fields.items() if column not in self.columns.values()}
        text = " ".join(parts.values()) if all(parts.values()) else ""
        return Entry(own, "triple", text, record.source, file.name, record.row, meta, parts["subject"], parts["object"])


def row_text(fields: Mapping[str, Any]) -> str:
    """Return a row of a table as text, `city: Oslo; country: Norway`; columns without a value are left out."""
    said = ((column, _said(value)) for column, value in fields.items())
    return "; ".join(f"{column}: {value}" for column, value in said if value)


def make_reader(number: int, source: Source, files: Sequence[RawFile]) -> Reader:
    """Find out what the rows of a source are, from its first ones.

    Raises:
        DataError: A column that is named for the text is not there.
    """
    if read_manifest(Path(source.root())) is not None or not isinstance(source, Tabular):
        return Reader(source, files, "document", {})
    names, _ = source.sample()
    if not names or source.text_field in names:
        return Reader(source, files, "document", {})
    if source.text_field != "text":
        raise DataError(
            f"inputs.{number}.text_field: no column '{source.text_field}'{nearest_column(source.text_field, names)};"
            f" the data have: {listed(names)}"
        )
    found = {part: next((name for name in usual if name in names), None) for part, usual in PARTS.items()}
    columns = {part: name for part, name in found.items() if name is not None}
    return Reader(source, files, "triple" if len(columns) == len(PARTS) else "row", columns)


def _said(value: Any) -> str:
    """Return a value of a column as text."""
    if value is None or value in ([], {}):
        return ""
    return " ".join((value if isinstance(value, str) else dumps(value, default=str)).split())
