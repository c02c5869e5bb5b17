"""A text and what is to be made of it: `{"source": "Good morning", "target": "早上好"}`; translations, summaries.

Several references stand in a list: `{"src": "Good morning", "targets": ["早上好", "早安"]}`. The form of the Hugging
Face hub is read as the same: `{"translation": {"en": "Good morning", "zh": "早上好"}}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from llmkit.data.column_names import listed
from llmkit.data.rows import Row, RowError, RowMismatch
from llmkit.data.rows._values import check_texts, expect, value_of
from llmkit.text.languages import canonical

if TYPE_CHECKING:
    import pyarrow as pa

_VAGUE = {("input", "output"), ("text", "target"), ("text", "output")}
"""Columns that other kinds of rows have as well: where one of those fits, it is meant."""
_ALPACA = "instruction"


class SourceTarget(Row):
    """A source text, and one target or several that are as right: of a translation, a summary, a simpler sentence.

    A column may be a text within an object, `translation.en`: of two texts by language the first is the source.
    """

    rank: ClassVar[int] = 1  # a text with a label may have a summary as well
    aliases: ClassVar = {
        "source_text": ("source_text", "source", "src", "document", "article", "dialogue", "input", "text"),
        "targets": (
            "targets", "target", "tgt", "target_text", "summary", "highlights", "references", "reference",
            "translation", "output",
        ),
    }  # fmt: skip

    def used(self) -> list[str]:
        """Return the columns that a row is made of, objects with several texts as a whole."""
        return list(dict.fromkeys(self.column(field).partition(".")[0] for field in self.aliases))

    def recognize(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Self:
        """Fill in the columns by their names, by the languages that are their names, or by those of one object."""
        if _ALPACA in {name.casefold() for name in names} and not self.columns:
            raise RowMismatch("an instruction with an input is a prompt, which objective=sft learns to answer")
        if self.columns:
            given = {field: column for field, column in self.columns.items() if "." in column and column not in names}
            plain = self.model_copy(update={"columns": {k: v for k, v in self.columns.items() if k not in given}})
            if len(given) == len(self.aliases):
                return self
            found = super(SourceTarget, plain).recognize([*names, *given], rows) if not given else plain
            return found.model_copy(update={"columns": {**found.columns, **given}})
        if by_language := _by_language(names, rows):
            return self.model_copy(update={"columns": dict(zip(self.aliases, by_language, strict=True))})
        return super().recognize(names, rows)

    def is_vague(self) -> bool:
        """Tell whether the names of the columns say little."""
        return (self.column("source_text").casefold(), self.column("targets").casefold()) in _VAGUE

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the source, and the targets as a list; none of them is empty."""
        source, targets = (self.column(field) for field in self.aliases)
        found = _value(raw, targets)
        several = found if isinstance(found, list) else [found]
        if not several:
            raise RowError(f"field '{targets}' is empty")
        named = {source: _value(raw, source)}
        named |= {f"{targets}.{i}" if isinstance(found, list) else targets: text for i, text in enumerate(several)}
        for name, text in named.items():
            if not expect(text, str, f"field '{name}'").strip():
                raise RowError(f"field '{name}' is empty")
        return {"source_text": named[source], "targets": several}

    def schema(self) -> list[pa.Field]:  # type: ignore[override]
        """Return a string and a list of strings."""
        import pyarrow as pa

        return [pa.field("source_text", pa.string()), pa.field("targets", pa.list_(pa.string()))]

    def texts(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return the source and each target."""
        return {"source_text": row["source_text"], **{f"targets.{i}": text for i, text in enumerate(row["targets"])}}

    def with_texts(self, row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the row with other texts; there are as many targets as before."""
        check_texts(texts)
        targets = [texts.get(f"targets.{i}", text) for i, text in enumerate(row["targets"])]
        return {**row, "source_text": texts.get("source_text", row["source_text"]), "targets": targets}

    def show(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the source, and the targets below it."""
        return [("source", row["source_text"]), *(("target", text) for text in row["targets"])]


def _by_language(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """Return the columns of source and target where languages are their names: `en` and `zh`, or `translation.en`.

    Raises:
        RowMismatch: There are texts in more than two languages.
    """
    columns = [name for name in names if _is_language(name) and (name != "id" or len(names) == 2)]
    if len(columns) == 2:
        return columns
    for name in names:
        texts: Mapping[str, Any] = next((row[name] for row in rows if isinstance(row.get(name), dict)), {})
        if len(texts) < 2 or not all(map(_is_language, texts)):
            continue
        if len(texts) > 2:
            raise RowMismatch(
                f"'{name}' has texts in {listed(texts)}: name two, columns.source_text={name}.{next(iter(texts))}", 1
            )
        return [f"{name}.{language}" for language in texts]
    return None


def _is_language(name: str) -> bool:
    """Tell whether a name is a language's: `en`, `zh_CN`, `eng_Latn`; three letters alone may be any word."""
    primary, _, rest = name.replace("_", "-").partition("-")
    return (len(primary) == 2 or bool(rest)) and canonical(name) is not None


def _value(raw: Mapping[str, Any], column: str) -> Any:
    root, _, inner = column.partition(".")
    if inner and column not in raw:
        return value_of(expect(value_of(raw, root), dict, f"field '{root}'"), inner)
    return value_of(raw, column)
