"""What the sources of rows with columns share: a column is the text, or several columns make a labelled row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from llmkit.core.config import NotIdentity
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.inputs import RawFile
from llmkit.core.registry import Family
from llmkit.data.chat import conversations_in
from llmkit.data.column_names import listed
from llmkit.data.rows import Row, RowMismatch, recognize
from llmkit.data.sources import Broken, Record, Source, Span
from llmkit.data.sources._columns import Columns, RawColumns

SAMPLE_ROWS = 100
"""Rows that are looked at to find out what they are."""


class Tabular(Source):
    """A source whose rows have columns."""

    path: Annotated[str, NotIdentity] = Field(min_length=1)
    """Where the data are."""

    text_field: str = "text"
    """Column that holds the document."""

    row: Annotated[Row | Literal["auto"] | None, Family("row", also=("auto", None))] = None
    """What kind of labelled rows are read, `text_label` for example; `auto` finds out. What is not given (the kind, the
    columns, the type of a label) goes by the columns and the first 100 rows of the first file that has rows. Null reads
    text, and of an examples artifact of ours the rows that it holds."""

    columns: dict[str, str] = {}
    """Column that holds a field of the row, where its name differs: `{text: review, label: stars}`."""

    messages_field: str | None = None
    """Column that holds a conversation, a list of {role, content}; short for `row: {type: messages, columns: {messages:
    COLUMN}}`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.messages_field is not None and (self.row is not None or self.columns):
            raise ValueError("messages_field says what row and columns say: give either")
        if self.columns and self.row is None:
            raise ValueError("columns are those of a labelled row: give its kind too, or row: auto")
        if isinstance(self.row, Row) and self.columns:
            if self.row.columns:
                raise ValueError("columns are given twice, here and in row")
            type(self.row).model_validate({"columns": self.columns})
        return self

    def kind(self) -> Literal["corpus", "examples"]:
        """Say "examples" where a labelled row is asked for, or kept by an artifact of ours, else "corpus"."""
        labelled = self.row is not None or self.messages_field is not None or self.own_row() is not None
        return "examples" if labelled else "corpus"

    def row_kind(self) -> Row | None:
        """Return what kind of labelled rows are read, and of which columns; for text None.

        Raises:
            ConfigError: The data are no such rows.
            DataError: There is no row to go by.
        """
        return self._row_kind

    # Workers get the source with what was found, and look at no file again.
    @cached_property
    def _row_kind(self) -> Row | None:
        if self.messages_field is not None:
            chats = conversations_in(self.messages_field)
            with suppress(RowMismatch):  # else each row says that it has no such column
                return chats.recognize(*self.sample())
            return chats
        if self.row is None:
            return self.own_row()
        kept = None if self.columns else self.own_row()
        if kept is not None and self.row in ("auto", type(kept)()):
            return kept
        names, rows = self.sample()
        if self.row == "auto":
            if not rows:
                raise DataError(f"row: auto: no row of {self.path} can be read", "say what the rows are: row: NAME")
            return recognize(None, names, rows, self.columns, self.path)
        row = self.row.model_copy(update={"columns": self.columns or self.row.columns})
        if not rows:
            return row
        try:
            return row.recognize(names, rows)
        except RowMismatch as error:
            have = listed(names, none="no columns")
            raise ConfigError(
                f"row: {row.type_name} does not fit: {error.reason}; the data have: {have}",
                hint="columns: {FIELD: COLUMN} names the column of a field",
            ) from None

    def sample(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Return the columns of the first rows of the first file that has any, and those rows."""
        for file in self.files():
            records = (record for record in self.raw(file) if isinstance(record, Record))
            if rows := [record.fields for record in islice(records, SAMPLE_ROWS)]:
                return list(dict.fromkeys(name for row in rows for name in row)), rows
        return [], []

    def raw(self, file: RawFile) -> Iterator[Record | Broken]:
        """Yield the rows of a file with all of their columns as `fields`."""
        kinds = [self.row] if isinstance(self.row, Row) else [_load(name) for name in Family("row").members()]
        usual = {name for kind in kinds for names in kind.aliases.values() for name in names}
        columns = RawColumns(self.text_field, None, "", usual=frozenset({*usual, *self.columns.values()}))
        return self.records(file, None, columns)

    def read(self, file: RawFile, span: Span | None = None) -> Iterator[Record | Broken]:
        """Yield the rows of a file or of one of its spans; whatever cannot be read is one `Broken`."""
        return self.records(file, span, self.columns_of(file))

    def read_span(self, file: RawFile, span: Span) -> Iterator[Record | Broken]:
        """Yield the rows of one span."""
        return self.read(file, span)

    def own_row(self) -> Row | None:
        """Return what kind of labelled rows the data are kept as, where they are an examples artifact of ours."""
        return None

    def columns_of(self, file: RawFile) -> Columns:
        """Return what is read of a file's rows."""
        raise NotImplementedError

    def records(self, file: RawFile, span: Span | None, columns: Columns) -> Iterator[Record | Broken]:
        """Yield the rows of a file, or of a span of it, read in a given way."""
        raise NotImplementedError


def _load(name: str) -> type[Row]:
    part: type[Any] = Family("row").load(name)
    return part
