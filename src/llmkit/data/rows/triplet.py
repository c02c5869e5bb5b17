"""What belongs together, and what does not: `{"query": "How old?", "positive": "It is 9.", "negatives": ["No."]}`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from llmkit.data.column_names import quoted
from llmkit.data.rows import Row
from llmkit.data.rows._values import RowError, describe, list_of, text_of, value_of

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERED = re.compile(r"(hard_?)?neg(ative)?s?[_ -]?(\d+)", re.IGNORECASE)


class Triplet(Row):
    """A text, one that belongs to it, and any number of texts that do not: pairs, triplets and longer rows.

    Texts that do not belong stand in one column, as a text or a list, or in several: `negative_1`, `negative_2`, ...
    """

    negative_columns: list[str] = []
    """Columns that hold a text each that does not belong, where it is not found by its name."""

    text_fields: ClassVar = ("query", "positive")
    optional: ClassVar = frozenset({"negatives"})
    rank: ClassVar[int] = 1  # a question with its answer is a conversation as well
    aliases: ClassVar = {
        "query": ("query", "anchor", "question", "sentence1", "text1", "premise", "english", "title", "claim"),
        "positive": ("positive", "pos", "passage", "document", "answer", "sentence2", "text2", "hypothesis",
                     "non_english", "abstract", "evidence"),
        "negatives": ("negatives", "negative", "neg", "negs", "hard_negatives", "hard_negative"),
    }  # fmt: skip

    def used(self) -> list[str]:
        """Return the columns that a row is made of: those of texts that do not belong only where there are any."""
        return [self.column("query"), self.column("positive"), *self.negative_columns]

    def kept(self) -> Self:
        """Return the same kind as an examples artifact holds it."""
        return self.model_copy(update={"columns": {}, "negative_columns": []})

    def recognize(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Self:
        """Fill in the columns, and which of them hold texts that do not belong."""
        found = super().recognize(names, rows)
        if self.negative_columns:
            return found
        one = found.column("negatives")
        numbered = [name for name in names if _NUMBERED.fullmatch(name)] if one not in names else []
        several = sorted(numbered, key=lambda name: int(_NUMBERED.fullmatch(name)[3]))  # type: ignore[index]
        return found.model_copy(update={"negative_columns": several or ([one] if one in names else [])})

    def describe(self) -> str:
        """Return the kind, its fields and the columns they are read from."""
        fields = [field + (f" from '{self.columns[field]}'" if field in self.columns else "")
                  for field in self.text_fields]  # fmt: skip
        if self.negative_columns != ["negatives"]:
            fields += [f"negatives from {', '.join(map(quoted, self.negative_columns))}"] * bool(self.negative_columns)
        else:
            fields.append("negatives")
        return f"{self.type_name} ({', '.join(fields)})"

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row; what does not belong is a list, which may be empty."""
        query, positive = self.column("query"), self.column("positive")
        columns = self.negative_columns or [name for name in [self.column("negatives")] if name in raw]
        return {
            "query": text_of(raw, query),
            "positive": _one(raw, positive),
            "negatives": [text for column in columns for text in _texts(raw.get(column), column)],
        }

    def schema(self) -> list[pa.Field]:  # type: ignore[override]
        """Return two strings and a list of them."""
        import pyarrow as pa

        return [*super().schema(), pa.field("negatives", pa.list_(pa.string()))]

    def texts(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return all texts."""
        return {**super().texts(row), **{f"negatives.{i}": text for i, text in enumerate(row["negatives"])}}

    def with_texts(self, row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the row with other texts; as many of them do not belong as before."""
        changed = super().with_texts(row, texts)
        negatives = [changed.pop(f"negatives.{i}", text) for i, text in enumerate(row["negatives"])]
        return {**changed, "negatives": negatives}

    def key_text(self, row: Mapping[str, Any]) -> str:
        """Return what belongs together: the same pair with other texts that do not belong is a copy."""
        return f"{row['query']}\n{row['positive']}"


def _one(raw: Mapping[str, Any], column: str) -> str:
    """Return the text in a column, which may be the only one of a list."""
    value = value_of(raw, column)
    if not isinstance(value, list):
        return text_of(raw, column)
    if len(value) != 1:
        raise RowError(f"field '{column}' holds {len(value):,} texts, and one belongs: write a row for each")
    return text_of({column: value[0]}, column)


def _texts(value: Any, column: str) -> list[str]:
    """Return the texts in a column: one, a list of them, or none."""
    if value is None:
        return []
    is_list = isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("["))
    if not is_list:
        return [text_of({column: value}, column)]
    try:
        items = list_of(value, f"field '{column}'")
    except RowError:  # a text in brackets
        return [text_of({column: value}, column)]
    for i, item in enumerate(items):
        if not isinstance(item, str):
            raise RowError(f"field '{column}'[{i}] is {describe(item)}, not a string")
        if not item.strip():
            raise RowError(f"field '{column}'[{i}] is empty")
    return items
