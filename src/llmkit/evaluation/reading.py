"""The data of a task: an artifact of ours or whatever `clean` reads, row by row, as labelled rows, table or text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.inputs import RawFile
from llmkit.core.manifest import PARTIAL, read_manifest
from llmkit.data.artifacts import Corpus, Examples
from llmkit.data.corpus import document_id, examples_row
from llmkit.data.rows import UNNAMED, recognize
from llmkit.data.sources import Broken, Record, Source
from llmkit.data.sources._columns import meta_of
from llmkit.data.sources._tabular import Tabular

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs
    from llmkit.data.rows import Row

ROLE = "tasks.data"
OTHER_DATA = "-s tasks.0.data=PATH names other data: a file, a folder or an artifact"
OTHER_TASK = "-s tasks.0.data=PATH names other data, -s tasks.0.type=NAME a task for these: llmkit schema eval --fields"
"""What the data are called in errors and in the inputs of a run."""
SHARED = ("id", "source", "language", "meta")


@dataclass
class Item:
    """One row.

    Attributes:
        id: As in a corpus that `clean` makes of the same files or, of such a corpus, its own.
        fields: Its columns: of labelled rows those of the kind, of a table all, of text `text`.
        source: Name of its source.
        language: BCP 47 tag, "und" where nobody knows.
        meta: The columns that are not among the fields.
    """

    id: str
    fields: dict[str, Any]
    source: str = ""
    language: str = "und"
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Unreadable:
    """Rows of raw files that could not be read, for a note beside the scores.

    Attributes:
        count: How many.
        first: The first one, with its file and reason.
    """

    count: int = 0
    first: str = ""

    def add(self, file: RawFile, broken: Broken) -> None:
        """Count one."""
        self.count += broken.num_rows
        where = f"line {broken.line}" if broken.line is not None else f"row {broken.row}"
        self.first = self.first or f"{file.path}, {where}: {broken.reason}"

    def notes(self) -> list[str]:
        """Say how many there are; nothing of none."""
        return [f"{self.count:,} unreadable rows; the first: {self.first}"] if self.count else []


def is_ours(source: Source) -> bool:
    """Tell whether data are an artifact, finished or not."""
    root = Path(source.root())
    return read_manifest(root) is not None or (root / PARTIAL).is_dir()


def shown(source: Source) -> str:
    """Return what data are called in what people read: the path as it was written, if it has one."""
    return str(getattr(source, "path", source.root()))


def add_source(source: Source, inputs: Inputs, kinds: Sequence[str], role: str = ROLE) -> None:
    """Add data to the inputs of a run.

    Args:
        source: Where they are.
        inputs: The inputs.
        kinds: What an artifact may be: `corpus`, `examples`, `tokens`.
        role: The config field that names them.

    Raises:
        DataError: They are missing, unfinished, or of another kind.
    """
    if is_ours(source):
        inputs.add_artifact(Path(source.root()), tuple(kinds), role=role)
        return
    inputs.add_files(source.root(), source.files(), role=role)


def read_labelled(
    source: Source, kinds: Sequence[str], columns: Mapping[str, str], unreadable: Unreadable
) -> tuple[Row, Iterator[Item]]:
    """Return what kind of labelled rows data hold, and the rows.

    Args:
        source: Where they are.
        kinds: The kinds of rows that a task takes.
        columns: Columns of fields that the user has named.
        unreadable: Counts rows that could not be read.

    Raises:
        ConfigError: They hold no such rows; the message says how near each kind comes.
        DataError: They hold nothing.
    """
    if is_ours(source):
        kind = examples_row(Path(source.root()))
        _check_kind(kind, kinds, source)
        return kind, _kept(source, kind)
    if isinstance(source, Tabular) and source.kind() != "examples":
        names, rows = source.sample()
        if not names:
            raise DataError(f"{ROLE}: {shown(source)} has no rows", OTHER_DATA)
        try:
            found = recognize(kinds, names, rows, {**source.columns, **columns}, source.path).whole()
        except ConfigError as error:
            if error.hint == UNNAMED:
                error.hint = "name them: -s tasks.0.columns.FIELD=COLUMN; the fields are those above"
            raise
        source = source.model_copy(update={"row": found, "columns": {}})
    own = source.row_kind()
    if own is None:
        raise ConfigError(f"{ROLE}: {shown(source)} gives text, and the task needs {' or '.join(kinds)}", OTHER_TASK)
    _check_kind(own, kinds, source)
    return own, _raw(source, unreadable)


def read_table(source: Source, unreadable: Unreadable) -> Iterator[Item]:
    """Yield rows with all of their columns as they are, for templates over them.

    Raises:
        ConfigError: The source has no columns.
    """
    if is_ours(source):
        for row in Corpus(source.root()).rows():
            meta = meta_of(row)
            shared = {name: row[name] for name in SHARED if name in row and name != "meta"}
            fields = {**meta, **{name: value for name, value in row.items() if name != "meta"}}
            yield Item(row["id"], fields, shared.get("source", ""), shared.get("language") or "und", meta)
        return
    if not isinstance(source, Tabular):
        yield from _raw(source, unreadable)
        return
    for file, name, record in _files(source, unreadable, source.raw):
        key = record.text or str(record.fields)
        fields = dict(record.fields)
        yield Item(document_id(record.source or file.name, name, record.row, key), fields, record.source or file.name)


def read_texts(source: Source, unreadable: Unreadable) -> Iterator[Item]:
    """Yield documents, with `text` as their only field."""
    if is_ours(source):
        for row in Corpus(source.root()).rows(["text", *SHARED]):
            yield Item(row["id"], {"text": row["text"]}, row["source"], row["language"] or "und", meta_of(row))
        return
    yield from _raw(source, unreadable)


def _check_kind(kind: Row, kinds: Sequence[str], source: Source) -> None:
    if kind.type_name not in kinds:
        raise ConfigError(
            f"{ROLE}: {shown(source)} holds {kind.describe()}, and the task needs {' or '.join(kinds)}", OTHER_TASK
        )


def _kept(source: Source, kind: Row) -> Iterator[Item]:
    names = dict.fromkeys((*SHARED, *(column.name for column in kind.schema())))
    for row in Examples(source.root()).rows(list(names)):
        fields = {column.name: row[column.name] for column in kind.schema()}
        yield Item(row["id"], fields, row["source"], row["language"] or "und", meta_of(row))


def _raw(source: Source, unreadable: Unreadable) -> Iterator[Item]:
    for _, name, record in _files(source, unreadable, source.read):
        fields = record.fields or {"text": record.text}
        own = document_id(record.source, name, record.row, record.text)
        yield Item(own, fields, record.source, record.language or "und", record.meta)


def _files(source: Source, unreadable: Unreadable, read: Any) -> Iterator[tuple[RawFile, str, Record]]:
    """Yield records with their file and its name as ids have it; what cannot be read is counted.

    Raises:
        DataError: Nothing could be read.
    """
    seen: Counter[str] = Counter()
    is_empty = True
    for file in source.files():
        name = f"{file.name}\0{seen[file.name]}" if seen[file.name] else file.name
        seen[file.name] += 1
        for record in read(file):
            if isinstance(record, Broken):
                unreadable.add(file, record)
                continue
            is_empty = False
            yield file, name, record
    if is_empty:
        why = f": {unreadable.first}" if unreadable.count else ""
        raise DataError(f"{ROLE}: {shown(source)} has no rows that can be read{why}", OTHER_DATA)
