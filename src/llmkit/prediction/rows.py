"""Rows as they are, with the texts that a head reads and what else is kept of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.core.inputs import RawFile
from llmkit.core.manifest import read_manifest
from llmkit.data.column_names import listed, nearest_column
from llmkit.data.corpus import UNKNOWN_LANGUAGE, document_id
from llmkit.data.rows import RowMismatch
from llmkit.data.rows._matching import match
from llmkit.data.rows._values import RowError, expect
from llmkit.data.rows.source_target import SourceTarget
from llmkit.data.rows.text_label import TextLabel
from llmkit.data.sources import Broken, Record, Source
from llmkit.data.sources._columns import Columns, RawColumns, meta_of
from llmkit.data.sources._tabular import SAMPLE_ROWS, Tabular
from llmkit.prediction.writing import Write
from llmkit.runtimes import Embed, Label, Request, Span, Tags

Keep = list[str] | Literal["all"]
Inputs = Sequence[tuple[Source, list[RawFile]]]

_TEXT = TextLabel.aliases["text"]
_SOURCE = "source_text"
FIELDS: dict[type[Request], dict[str, tuple[str, ...]]] = {
    Label: {"text": _TEXT, "pair": ()},
    Tags: {"text": _TEXT},
    Embed: {"text": _TEXT},
    Write: {"text": (*_TEXT, *SourceTarget.aliases["source_text"])},
    Span: {"question": ("question", "query"), "text": (*_TEXT, "context", "passage", "paragraph", "article")},
}
"""Per kind of request the fields of a row, and the names under which columns usually hold them."""
EXCERPT_CHARS = 200
_HINT = "--text-field COLUMN names the column of the text, --column FIELD=COLUMN that of another field"
OPTIONAL = frozenset({"pair"})
"""Read only where a column has that name or is given: what usually holds a second text may hold anything."""


@dataclass(slots=True)
class Item:
    """One row.

    Attributes:
        id: As in a corpus that `clean` makes of the same files or, of such a corpus, its own.
        source: Name of the source.
        file: Name of its file, relative to the input.
        row: Row number within the file, from 0.
        request: What the model is asked; None where a text is missing.
        texts: The texts by field, None for those that are missing.
        meta: The other columns that are kept.
    """

    id: str
    source: str
    file: str
    row: int
    request: Request | None
    texts: dict[str, str | None]
    meta: dict[str, Any]


@dataclass(frozen=True)
class Reader:
    """How the rows of one source are read.

    Attributes:
        source: The source.
        files: Its files.
        kind: What the model is asked.
        fields: Column of each field.
        keep: Columns that are kept besides, or all of them.
        ours: The rows are those of an artifact of ours, and have ids already.
    """

    source: Source
    files: Sequence[RawFile]
    kind: type[Request]
    fields: Mapping[str, str]
    keep: Keep
    ours: bool

    def describe(self) -> str:
        """Return which columns are read, for people."""
        return ", ".join(f"{field} from '{column}'" for field, column in self.fields.items())

    def rows(self, file: RawFile, occurrence: int) -> Iterator[Item | Broken]:
        """Yield the rows of a file.

        Args:
            file: The file.
            occurrence: How many earlier inputs have a file of this name, as in `clean`.
        """
        name = f"{file.name}\0{occurrence}" if occurrence else file.name
        for record in _records(self.source, file, self.fields.values()):
            if isinstance(record, Broken):
                yield record
                continue
            try:
                yield self._item(record, file, name)
            except RowError as error:
                yield Broken(record.row, str(error), excerpt=str(record.fields)[:EXCERPT_CHARS])

    def _item(self, record: Record, file: RawFile, name: str) -> Item:
        values = {**record.fields}
        if self.ours and isinstance(values.get("meta"), str):
            values = {**meta_of(values), **values}
        texts = {field: _text(values.pop(column, None), column) for field, column in self.fields.items()}
        whole = None not in texts.values()
        source, own = record.source, None
        if self.ours:
            own, source = values.pop("id", None), values.pop("source", None) or source
            if values.get("language") == UNKNOWN_LANGUAGE:
                del values["language"]
            values.pop("meta", None)  # its columns stand beside it
        key = record.text or "\n".join(text or "" for text in texts.values())
        meta = values if self.keep == "all" else {column: values[column] for column in self.keep if column in values}
        return Item(
            own if isinstance(own, str) else document_id(source, name, record.row, key),
            source, file.name, record.row, _request(self.kind, texts) if whole else None, texts, meta,
        )  # fmt: skip

    def kept_fields(self) -> list[str]:
        """Return the fields whose texts are kept."""
        return [field for field, column in self.fields.items() if self.keep == "all" or column in self.keep]


def make_readers(inputs: Inputs, kind: type[Request], columns: Mapping[str, str], keep: Keep) -> list[Reader]:
    """Find out which columns hold the texts, from the first rows of each source.

    Args:
        inputs: The sources and their files.
        kind: What the model is asked.
        columns: Columns of fields that the user has named.
        keep: Columns to keep, or all.

    Raises:
        DataError: A source lacks a column; the message has the nearest name.
    """
    if unknown := [field for field in columns if field not in FIELDS[kind]]:
        fields = " and ".join(FIELDS[kind])
        raise ConfigError(
            f"columns.{unknown[0]}: of a row this model reads {fields}{nearest(unknown[0], FIELDS[kind])}"
        )
    return [_make_reader(number, *item, kind, columns, keep) for number, item in enumerate(inputs)]


def _make_reader(
    number: int, source: Source, files: list[RawFile], kind: type[Request], columns: Mapping[str, str], keep: Keep
) -> Reader:
    given = {field: column for field, column in {**_given(source), **columns}.items() if field in FIELDS[kind]}
    names = _sample(source, files, given.values())
    if kind is Write and _SOURCE in names:  # of an artifact of ours, whose `text` holds the targets as well
        given = {"text": _SOURCE, **given}
    needed = {field: field for field in FIELDS[kind] if field not in OPTIONAL}
    try:
        found = match(FIELDS[kind], given, names, optional=OPTIONAL) if names else {**needed, **given}
    except RowMismatch as error:
        have = listed(names, none="no columns")
        raise DataError(f"inputs.{number}: {error.reason}; the data have: {have}", _HINT) from None
    for column in () if keep == "all" or not names else keep:
        if column not in names:
            raise DataError(f"keep: inputs.{number} has no column '{column}'{nearest_column(column, names)}")
    return Reader(source, files, kind, found, keep, read_manifest(Path(source.root())) is not None)


def read(readers: Sequence[Reader]) -> Iterator[tuple[RawFile, Item | Broken]]:
    """Yield all rows in the order of the inputs, each with its file."""
    seen: Counter[str] = Counter()
    for reader in readers:
        for file in reader.files:
            for row in reader.rows(file, seen[file.name]):
                yield file, row
        seen.update({file.name for file in reader.files})


def _request(kind: Any, texts: Mapping[str, str | None]) -> Request:
    request: Request = kind(**texts)
    return request


def _given(source: Source) -> dict[str, str]:
    """Return the columns that a source's own fields name."""
    if not isinstance(source, Tabular):
        return {}
    text = {} if source.text_field == "text" else {"text": source.text_field}
    return {**text, **source.columns}


def _records(source: Source, file: RawFile, used: Any) -> Iterator[Record | Broken]:
    """Yield the rows of a file with all of their columns."""
    if not isinstance(source, Tabular):
        for record in source.read(file):
            yield record if isinstance(record, Broken) else replace(record, fields={**record.meta, "text": record.text})
        return
    known: Columns = source.columns_of(file)
    usual = frozenset({*used, *(name for fields in FIELDS.values() for names in fields.values() for name in names)})
    columns = RawColumns(known.text_field, None, known.source, known.keeps_source, known.classes, usual=usual)
    yield from source.records(file, None, columns)


def _sample(source: Source, files: Sequence[RawFile], used: Any) -> list[str]:
    """Return the names of the columns of the first rows of the first file that has any."""
    for file in files:
        records = (record for record in _records(source, file, used) if isinstance(record, Record))
        if rows := [record.fields for record in islice(records, SAMPLE_ROWS)]:
            return list(dict.fromkeys(name for row in rows for name in row))
    return []


def _text(value: Any, column: str) -> str | None:
    """Return a text, or None where there is none.

    Raises:
        RowError: It is of another type.
    """
    if value is None:
        return None
    text: str = expect(value, str, f"field '{column}'")
    return text if text.strip() else None
