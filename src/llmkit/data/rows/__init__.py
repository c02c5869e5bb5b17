"""Family "row": what a labelled row is, one module each; how it is recognized, read, kept, cleaned and shown.

Everything between the raw file and the objective goes through these methods, so that a new kind of row is one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from pydantic import field_validator

from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.core.registry import Family, Part
from llmkit.data.column_names import listed, nearest_column
from llmkit.data.rows._matching import RowMismatch, match
from llmkit.data.rows._values import RowError, check_texts, text_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SHARED_COLUMNS", "Row", "RowError", "RowMismatch", "recognize"]

SHARED_COLUMNS = ("id", "text", "source", "language", "meta")
"""Columns of our corpora, all of them strings; examples have the columns of their rows besides."""
UNNAMED = "say what they are: row: NAME, and columns: {FIELD: COLUMN}"
"""What helps where columns are not found by their names."""


class Row(Part):
    """One kind of labelled rows; an instance says in which columns of some data its fields stand."""

    columns: dict[str, str] = {}
    """Column of the data that holds a field of the row, where its name differs: `{text: review, label: stars}`."""

    aliases: ClassVar[Mapping[str, tuple[str, ...]]]
    """Fields of the row, each with the names under which columns usually hold it, its own first."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Fields that a row may lack."""
    text_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that hold one text each, which is never empty."""
    prose: ClassVar[bool] = True
    """Whether its texts are prose; steps that remove lines leave single words alone."""
    rank: ClassVar[int] = 0
    """Of kinds that fit the one with the lowest rank is meant, unless another reads its columns and more."""

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str]) -> dict[str, str]:
        for field in columns:
            if field not in cls.aliases:
                raise ValueError(f"the row has no field '{field}'{nearest(field, cls.aliases)}")
        if twice := [name for name in columns.values() if list(columns.values()).count(name) > 1]:
            raise ValueError(f"'{twice[0]}' is the column of two fields")
        return {field: column for field, column in columns.items() if field != column}

    def column(self, field: str) -> str:
        """Return the name of the column that holds a field."""
        return self.columns.get(field, field)

    def used(self) -> list[str]:
        """Return the columns that a row is made of; the others are its meta."""
        return [self.column(field) for field in self.aliases]

    def kept(self) -> Self:
        """Return the same kind as an examples artifact holds it: with its types, under its own names."""
        return self.model_copy(update={"columns": {}})

    def needed(self) -> list[str]:
        """Return the columns without which there is no row."""
        return [self.column(field) for field in self.aliases if field not in self.optional]

    def joined(self, other: Row) -> Row | None:
        """Return the kind that an artifact with rows of both holds; None where they do not go together."""
        return self if self == other else None

    def whole(self) -> Self:
        """Return the kind that reads whatever the rows behind the first ones may have, where that is another one."""
        return self

    def recognize(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Self:  # noqa: ARG002 - for types
        """Fill in what is not given: the columns by their names and, where a field may have several types, its type.

        Args:
            names: Columns of the data.
            rows: A sample of its rows.

        Raises:
            RowMismatch: The data lack a column, or several may be it.
        """
        found = match(self.aliases, self.columns, names, optional=self.optional)
        columns = {field: column for field, column in found.items() if field != column}
        return self.model_copy(update={"columns": columns})

    def is_vague(self) -> bool:
        """Tell whether the names of its columns are those of other kinds as well: where another fits, it is meant."""
        return False

    def describe(self) -> str:
        """Return the kind, its fields and the columns they are read from, in one line for people."""
        fields = [field + (f" from '{self.columns[field]}'" if field in self.columns else "") for field in self.aliases]
        return f"{self.type_name} ({', '.join(fields)})"

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row that some columns make, with the names and types of `schema`.

        Raises:
            RowError: They make none; the reason names the column.
        """
        return {field: text_of(raw, self.column(field)) for field in self.text_fields}

    def schema(self) -> list[pa.Field]:  # type: ignore[override]
        """Return the columns of the row, which an artifact holds beside the shared ones.

        A field `text` stands in the shared column `text`; without one that holds `key_text`.
        """
        import pyarrow as pa

        return [pa.field(field, pa.string()) for field in self.text_fields]

    def texts(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return the texts that cleaning may edit, by name."""
        return {field: row[field] for field in self.text_fields}

    def with_texts(self, row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the row with other texts under the names of `texts`.

        Raises:
            RowError: A text that the row needs is empty now.
        """
        check_texts(texts)
        return {**row, **texts}

    def key_text(self, row: Mapping[str, Any]) -> str:
        """Return the text that stands for the row: filters, duplicates, splits and decontamination go by it."""
        return "\n".join(self.texts(row).values())

    def split_text(self, row: Mapping[str, Any]) -> str:
        """Return the text that decides whether a row of an artifact is for training or for validation."""
        text: str = row["text"]
        return text

    def target(self, row: Mapping[str, Any]) -> Any:  # noqa: ARG002 - the interface
        """Return what copies of a text should agree on, such as its label; None if nothing."""
        return None

    def turns(self, row: Mapping[str, Any]) -> list[dict[str, Any]] | None:  # noqa: ARG002 - the interface
        """Return the row as a conversation of {role, content}, see `llmkit.data.chat`; None where it is none."""
        return None

    def with_turns(self, row: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any] | None:  # noqa: ARG002
        """Return the row with some of its turns alone; None for a kind that has always the same."""
        return None

    def show(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the row for people, as captions and texts."""
        return list(self.texts(row).items())


def recognize(
    kinds: Sequence[str] | None,
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str] = MappingProxyType({}),
    where: str = "the data",
) -> Row:
    """Find out what kind of rows some data hold.

    A kind fits if its columns are there and it can read one row of the sample at least. Of two kinds that fit, the one
    that reads all the columns of the other and more is meant: `text`, `pair` and `label` are pairs. One that says
    itself that its columns tell little gives way to any other, and of the rest the lowest rank is meant: a text with a
    label is that, whatever summary or title stands beside it.

    Args:
        kinds: The kinds that may be meant, also of the user's own that were imported; None for all installed ones.
        names: Columns of the data.
        rows: A sample of its rows.
        columns: Columns of fields that the user has named.
        where: What the rows are of, for errors.

    Raises:
        ConfigError: A named column is not there, no kind fits, or several do; the message says how near each comes.
        DataError: There is neither a row nor a column to go by.
    """
    if not names and not rows:
        raise DataError(f"no row of {where} can be read", "a file with rows; or, if it should have some, look into it")
    for field, column in columns.items():
        if column not in names and column.partition(".")[0] not in names:
            raise ConfigError(f"columns.{field}: the data have no column '{column}'{nearest_column(column, names)}")
    fits: list[Row] = []
    misses: list[tuple[str, RowMismatch]] = []
    for kind in kinds or Family("row").members():
        try:
            fits.append(_fit(_named(kind), names, rows, columns))
        except RowMismatch as miss:
            misses.append((kind, miss))
    best = [row for row in fits if not any(_is_less(row, other, rows) for other in fits)]
    best = [row for row in best if not row.is_vague()] or best
    if len(best) > 1:
        _check_mixed(best, rows, where)
        best = [row for row in best if row.rank == min(other.rank for other in best)]
    if len(best) == 1:
        return best[0]
    have = f"the columns {listed(names, none='(none)')}"
    if best:
        raise ConfigError(
            f"row: {have} may be {' or '.join(row.describe() for row in best)}",
            hint=f"say which: row: {best[0].type_name}, or row: {best[1].type_name}",
        )
    _check_readable([(kind, miss.reason) for kind, miss in misses if miss.unreadable], where)
    reasons = sorted((-miss.num_found, f"  {kind}: {miss.reason}") for kind, miss in misses)
    raise ConfigError("\n".join([f"row: no kind fits {have}", *(reason for _, reason in reasons)]), hint=UNNAMED)


def _check_readable(misses: Sequence[tuple[str, str]], where: str) -> None:
    """Refuse rows whose columns are those of a kind, and of which none makes one: names are not what they lack.

    Raises:
        ConfigError: There are such kinds; the message says why the first row is none.
    """
    if not misses:
        return
    head, lines = f"row: {where} has the columns of", [f"{kind}: {reason}" for kind, reason in misses]
    raise ConfigError(
        f"{head} {lines[0]}" if len(lines) == 1 else "\n  ".join([f"{head} several kinds", *lines]),
        hint="mend the rows, or name others; where some can be read, those that cannot are left out and counted",
    )


def _check_mixed(kinds: Sequence[Row], rows: Sequence[Mapping[str, Any]], where: str) -> None:
    """Refuse rows of which some are of one kind and some of another one.

    Raises:
        ConfigError: They are; the message has the columns of the first row of each kind.
    """
    read = [(kind.type_name, [i for i, row in enumerate(rows) if _reads(kind, row)]) for kind in kinds]
    if sum(len(own) for _, own in read) > len({i for _, own in read for i in own}):
        return
    found = [f"{len(own):,} {name} (the first has {listed(rows[own[0]])})" for name, own in read]
    first = kinds[0].type_name
    raise ConfigError(
        f"row: {where} holds rows of several kinds; of the first {len(rows):,}: {', '.join(found)}",
        hint=f"put them into files of their own; with row: {first} the others are broken rows, which are counted",
    )


def _reads(kind: Row, raw: Mapping[str, Any]) -> bool:
    try:
        kind.parse(raw)
    except RowError:
        return False
    return True


def _is_less(row: Row, other: Row, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether another kind is meant: it reads more, or the same and has a lower rank.

    One of a higher rank has to read most of the rows as well: answers that now and then stand in the text beside them
    are no spans of it.
    """
    own, others = {*row.used()}, {*other.used()}
    if own == others:
        return other.rank < row.rank
    if not own < others or other.rank <= row.rank:
        return own < others
    return 2 * sum(_reads(other, raw) for raw in rows) >= sum(_reads(row, raw) for raw in rows)


def _named(kind: str) -> type[Row]:
    family = Family("row")
    own = [part for part in family.own() if part.origin and part.origin.name == kind]
    try:
        return cast("type[Row]", own[-1] if own else family.load(kind))
    except LookupError as error:  # as the objective of somebody's own has it
        raise ConfigError(
            f"row: {error}", hint=f"name its file where the data are named: row: path/to/file.py:{kind}"
        ) from None


def _fit(part: type[Row], names: Sequence[str], rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Row:
    if extra := [field for field in columns if field not in part.aliases]:
        raise RowMismatch(f"it has no field '{extra[0]}'{nearest(extra[0], part.aliases)}")
    row = part(columns=dict(columns)).recognize(names, rows)
    reason = ""
    for raw in rows:
        try:
            row.parse(raw)
        except RowError as error:
            reason = reason or str(error)
        else:
            return row
    if reason:
        why = f"no row of the sample can be read: {reason} (row 1)"
        raise RowMismatch(why, len(part.aliases), unreadable=True)
    return row
