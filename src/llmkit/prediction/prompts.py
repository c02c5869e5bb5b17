"""Rows that ask a model for a text: conversations, prompts, sources and texts, with or without answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.inputs import RawFile
from llmkit.core.manifest import read_manifest
from llmkit.data.artifacts import Examples
from llmkit.data.chat import CONVERSATIONS, STAND_IN, Turn, filled, has_any_turns, recognize_questions
from llmkit.data.column_names import listed
from llmkit.data.corpus import document_id, examples_row
from llmkit.data.rows import Row, recognize
from llmkit.data.rows._values import RowError
from llmkit.data.rows.source_target import SourceTarget
from llmkit.data.rows.text_label import TextLabel
from llmkit.data.sources import Broken, Record, Source
from llmkit.data.sources._columns import meta_of
from llmkit.data.sources._tabular import Tabular

KINDS = (*CONVERSATIONS, "source_target")
TEXT = "text"
_HINT = "--column prompt=COLUMN names the column of the prompt"
EXCERPT_CHARS = 200


@dataclass(slots=True)
class Prompt:
    """What is asked in one row.

    Attributes:
        id: As in a corpus that `clean` makes of the same files or, of such a corpus, its own.
        source: Name of the source.
        language: BCP 47 tag.
        turns: The conversation up to where the model is to speak; none where the row asks nothing.
        kind: `conversation`, `source` (a text of which another is to be made) or `text`.
        reference: The answer that the row has.
        row: The row as it is kept, answers left out; None of a text.
        meta: The other columns.
    """

    id: str
    source: str
    language: str
    turns: list[Turn]
    kind: str
    reference: str | None = None
    row: dict[str, Any] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PromptReader:
    """How the rows of one source are read.

    Attributes:
        source: The source.
        files: Its files.
        kind: What its rows are; None for texts.
        column: The column of the text, where they are texts.
    """

    source: Source
    files: Sequence[RawFile]
    kind: Row | None
    column: str = TEXT

    @property
    def is_chat(self) -> bool:
        """Whether rows are conversations of any number of turns, which only a chat template puts."""
        return self.kind is not None and has_any_turns(self.kind)

    def describe(self) -> str:
        """Return what is read, for people."""
        if self.kind is None:
            return f"texts from '{self.column}'"
        return f"rows are {self.kind.describe()}"

    def read(self) -> Iterator[tuple[str, Prompt | Broken]]:
        """Yield the rows in order, each with the path of its file."""
        root = Path(self.source.root())
        if read_manifest(root) is not None:
            for row in Examples(root).rows():
                yield (
                    str(root),
                    self._prompt(row, row["id"], row["source"] or "", row["language"] or "und", meta_of(row)),
                )
            return
        seen: Counter[str] = Counter()
        for file in self.files:
            name = f"{file.name}\0{seen[file.name]}" if seen[file.name] else file.name
            seen[file.name] += 1
            source = self.source.columns_of(file).source if isinstance(self.source, Tabular) else file.name
            records = self.source.raw(file) if isinstance(self.source, Tabular) else self.source.read(file)
            for record in records:
                if isinstance(record, Broken):
                    yield file.path, record
                    continue
                try:
                    yield file.path, self._raw(record, name, source)
                except RowError as error:
                    yield file.path, Broken(record.row, str(error), excerpt=str(record.fields)[:EXCERPT_CHARS])

    def _raw(self, record: Record, name: str, source: str) -> Prompt:
        if not isinstance(self.source, Tabular):
            own = document_id(record.source, name, record.row, record.text)
            fields = record.fields or {TEXT: record.text}
            return self._prompt(fields, own, record.source, record.language or "und", record.meta)
        raw = record.fields
        if self.kind is None:
            used = [self.column]
            fields = {TEXT: text_in(raw, self.column)}
        else:
            used, fields = self.kind.used(), self.kind.parse(filled(self.kind, raw))
        meta = {column: value for column, value in raw.items() if column not in used}
        key = fields[TEXT] if self.kind is None else self.kind.key_text(fields)
        return self._prompt(fields, document_id(source, name, record.row, key), source, "und", meta)

    def _prompt(self, row: Mapping[str, Any], own: str, source: str, language: str, meta: Mapping[str, Any]) -> Prompt:
        if self.kind is None:
            text = row[TEXT] or ""
            turns = [{"role": "user", "content": text}] if text.strip() else []
            return Prompt(own, source, language, turns, "text", meta=meta)
        if isinstance(self.kind, SourceTarget):
            turns = [{"role": "user", "content": row["source_text"]}]
            return Prompt(own, source, language, turns, "source", next(iter(row["targets"]), None), None, meta)
        *before, last = self.kind.turns(row) or [{"role": "user", "content": ""}]
        if last["role"] != "assistant":  # kept rows end as they were written
            before, last = [*before, last], {"role": "assistant", "content": STAND_IN}
        asks = bool(before) and before[-1]["role"] in ("user", "tool")
        said = last["content"] if last["content"] not in ("", STAND_IN) else None
        return Prompt(own, source, language, before if asks else [], "conversation", said, dict(row), meta)


def text_in(raw: Mapping[str, Any], column: str) -> str:
    """Return the text of a column; an empty one where there is none.

    Raises:
        RowError: It is of another type.
    """
    value = raw.get(column)
    if value is not None and not isinstance(value, str):
        raise RowError(f"field '{column}' is no string")
    return value or ""


def make_reader(number: int, source: Source, files: Sequence[RawFile], columns: Mapping[str, str]) -> PromptReader:
    """Find out what the rows of a source are, from its first ones.

    Raises:
        ConfigError: A column that is named is not there.
        DataError: They ask nothing.
    """
    root = Path(source.root())
    if (manifest := read_manifest(root)) is not None:
        kind = examples_row(root) if manifest.kind == Examples.KIND else None
        if kind is not None and kind.type_name not in KINDS:
            raise DataError(f"inputs.{number}: {root} holds {kind.describe()}, which ask nothing", _ask())
        return PromptReader(source, files, kind)
    if not isinstance(source, Tabular):
        return PromptReader(source, files, source.row_kind())
    names, rows = source.sample()
    kind = None if source.text_field in names and source.text_field != TEXT else _kind(names, rows, columns)
    if kind is not None or not names:
        return PromptReader(source, files, kind)
    usual = (columns.get(TEXT, source.text_field), *TextLabel.aliases[TEXT], *SourceTarget.aliases["source_text"])
    column = next((name for name in usual if name in names), None)
    if column is None:
        raise DataError(f"inputs.{number}: no column holds prompts; the data have: {listed(names)}", _HINT)
    return PromptReader(source, files, None, column)


def _kind(names: Sequence[str], rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Row | None:
    """Return what kind of conversations rows are; None where they are none.

    Raises:
        ConfigError: A column that is named is not there.
    """
    given = {name: column for name, column in columns.items() if name != TEXT}
    if given:
        return recognize_questions(names, rows, given) or recognize(KINDS, names, rows, given)
    with suppress(ConfigError):
        return recognize(KINDS, names, rows)
    return recognize_questions(names, rows, given)


def _ask() -> str:
    return "rows with a prompt, a conversation or a text are asked"
