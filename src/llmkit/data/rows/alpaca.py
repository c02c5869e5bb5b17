"""An instruction, what it is about, and the answer: `{"instruction": "Add", "input": "2 + 2", "output": "4"}`.

LLaMA-Factory's rows have what was said before beside it, `"history": [["Hello", "Hi! What can I do?"]]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from llmkit.data.rows import Row
from llmkit.data.rows._asked import SYSTEM, Asked
from llmkit.data.rows._values import RowError, expect, list_of

if TYPE_CHECKING:
    import pyarrow as pa

HISTORY = "history"


class Alpaca(Asked):
    """Stanford Alpaca's rows, and Dolly's: the user's turn is the instruction and, behind a blank line, the input.

    A history of questions and answers stands before it as turns of their own, which are learned like the last one.
    """

    text_fields: ClassVar = ("instruction", "input", "output")
    may_be_empty: ClassVar = frozenset({"input"})
    aliases: ClassVar = {
        "instruction": ("instruction",), "input": ("input", "context"), "output": ("output", "response"),
        HISTORY: (HISTORY,), "system": SYSTEM,
    }  # fmt: skip
    optional: ClassVar = frozenset({"system", HISTORY})

    history: bool = False
    """There is a column of what was said before; found out from the columns."""

    def recognize(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Self:
        """Fill in the columns, and whether one is the history."""
        found = super().recognize(names, rows)
        return found.model_copy(update={"history": self.history or found.column(HISTORY) in names})

    def joined(self, other: Row) -> Row | None:
        """Return the kind that has what either has."""
        joint = super().joined(other)
        if not isinstance(joint, Alpaca) or not isinstance(other, Alpaca):
            return None
        return joint.model_copy(update={"history": self.history or other.history})

    def used(self) -> list[str]:
        """Return the columns of the row."""
        own = [self.column(field) for field in self.text_fields]
        beside = [self.column(field) for field in (HISTORY, "system") if getattr(self, field)]
        return [*own, *beside]

    def describe(self) -> str:
        """Return the kind, its columns, and how the question is made."""
        described = super().describe().replace(", output", " behind a blank line, output")
        named = f"{HISTORY} from '{self.columns[HISTORY]}'" if HISTORY in self.columns else HISTORY
        return described.replace("(instruction", f"({named} before it, instruction") if self.history else described

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the texts, and the history as a list of questions and answers."""
        row = super().parse(raw)
        if self.history:
            row[HISTORY] = _pairs(raw.get(self.column(HISTORY)), f"field '{self.column(HISTORY)}'")
        return row

    def schema(self) -> list[pa.Field]:  # type: ignore[override]
        """Return a string for each text, and a list of pairs."""
        import pyarrow as pa

        fields, place = super().schema(), len(self.text_fields)
        pairs = [pa.field(HISTORY, pa.list_(pa.list_(pa.string())))] if self.history else []
        return [*fields[:place], *pairs, *fields[place:]]

    def texts(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return the texts that there are, what was said before first."""
        said = {
            f"{HISTORY}.{i}.{side}": text
            for i, pair in enumerate(row.get(HISTORY) or ())
            for side, text in enumerate(pair)
        }
        return {**said, **super().texts(row)}

    def with_texts(self, row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the row with other texts."""
        own = {name: text for name, text in texts.items() if not name.startswith(f"{HISTORY}.")}
        changed = super().with_texts(row, own)
        if row.get(HISTORY):
            changed[HISTORY] = [
                [texts.get(f"{HISTORY}.{i}.{side}", text) for side, text in enumerate(pair)]
                for i, pair in enumerate(row[HISTORY])
            ]
        return changed

    def question(self, row: Mapping[str, Any]) -> str:
        """Return the instruction, and the input behind a blank line."""
        return "\n\n".join(filter(None, (row["instruction"], row["input"])))

    def turns(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the system message if there is one, what was said before, the question, and the answer."""
        *before, question, answer = super().turns(row)
        said = [
            {"role": role, "content": text}
            for pair in row.get(HISTORY) or ()
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        return [*before, *said, question, answer]


def _pairs(value: Any, what: str) -> list[list[str]]:
    """Return a list of questions and answers; none for null.

    Raises:
        RowError: It is no such list.
    """
    pairs = [list_of(pair, f"{what}.{i}") for i, pair in enumerate(list_of([] if value is None else value, what))]
    for i, pair in enumerate(pairs):
        if len(pair) != 2:
            raise RowError(f"{what}.{i} has {len(pair)} texts, not a question and an answer")
        for side, text in enumerate(pair):
            if not expect(text, str, f"{what}.{i}.{side}").strip():
                raise RowError(f"{what}.{i}.{side} is empty")
    return pairs
