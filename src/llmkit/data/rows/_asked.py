"""Rows of a question and an answer, with what the system says before them where there is a column for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from llmkit.data.rows import Row
from llmkit.data.rows._values import expect, text_of, value_of

if TYPE_CHECKING:
    import pyarrow as pa

SYSTEM = ("system", "system_prompt")
"""Usual columns of a system message; `aliases` of these rows end with them."""


class Asked(Row):
    """Base of kinds that are a conversation of one question and one answer."""

    optional: ClassVar = frozenset({"system"})
    may_be_empty: ClassVar[frozenset[str]] = frozenset()
    """Texts of which many rows have none."""

    system: bool = False
    """There is a column of what the system says; found out from the columns."""

    def recognize(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Self:
        """Fill in the columns, and whether one is what the system says."""
        found = super().recognize(names, rows)
        return found.model_copy(update={"system": self.system or found.column("system") in names})

    def joined(self, other: Row) -> Row | None:
        """Return the kind that has a system message."""
        if not isinstance(other, type(self)) or other.columns != self.columns:
            return None
        return other if other.system else self

    def used(self) -> list[str]:
        """Return the columns of the row."""
        return super().used() if self.system else [self.column(field) for field in self.text_fields]

    def describe(self) -> str:
        """Return the kind, its fields, and the columns they are read from."""
        fields = [*self.text_fields, *(["system"] if self.system else [])]
        named = [field + (f" from '{self.columns[field]}'" if field in self.columns else "") for field in fields]
        return f"{self.type_name} ({', '.join(named)})"

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the texts; a row may lack its system message."""
        row = {
            field: _text_or_none(value_of(raw, self.column(field)), self.column(field))
            if field in self.may_be_empty
            else text_of(raw, self.column(field))
            for field in self.text_fields
        }
        if self.system:
            row["system"] = _text_or_none(raw.get(self.column("system")), self.column("system"))
        return row

    def schema(self) -> list[pa.Field]:  # type: ignore[override]
        """Return a string for each text."""
        import pyarrow as pa

        return [*super().schema(), *([pa.field("system", pa.string())] if self.system else [])]

    def texts(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return the texts that there are."""
        fields = (*self.text_fields, "system")
        return {field: row[field] for field in fields if row.get(field) or field not in {*self.may_be_empty, "system"}}

    def question(self, row: Mapping[str, Any]) -> str:
        """Return what the user says."""
        text: str = row[self.text_fields[0]]
        return text

    def turns(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the system message if there is one, the question, and the answer."""
        system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
        answer = {"role": "assistant", "content": row[self.text_fields[-1]]}
        return [*system, {"role": "user", "content": self.question(row)}, answer]


def _text_or_none(value: Any, column: str) -> str:
    """Return a text; an empty one for null and for blanks."""
    text: str = "" if value is None else expect(value, str, f"field '{column}'")
    return text if text.strip() else ""
