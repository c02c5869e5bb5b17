"""An instruction, what it is about, and the answer: `{"instruction": "Add", "input": "2 + 2", "output": "4"}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from llmkit.data.rows import Row
from llmkit.data.rows._values import expect, text_of, value_of


class Alpaca(Row):
    """Stanford Alpaca's rows, and Dolly's: the user's turn is the instruction and, behind a blank line, the input."""

    text_fields: ClassVar = ("instruction", "input", "output")
    aliases: ClassVar = {
        "instruction": ("instruction",), "input": ("input", "context"), "output": ("output", "response"),
    }  # fmt: skip

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row; of many the input is empty."""
        column = self.column("input")
        value = value_of(raw, column)
        text = "" if value is None else expect(value, str, f"field '{column}'")
        return {
            "instruction": text_of(raw, self.column("instruction")),
            "input": text if text.strip() else "",
            "output": text_of(raw, self.column("output")),
        }

    def texts(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return the texts that there are."""
        return {field: row[field] for field in self.text_fields if row[field] or field != "input"}

    def turns(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the question and the answer."""
        question = "\n\n".join(filter(None, (row["instruction"], row["input"])))
        return [{"role": "user", "content": question}, {"role": "assistant", "content": row["output"]}]

    def describe(self) -> str:
        """Return the kind, its columns, and how the question is made."""
        return super().describe().replace(", output", " behind a blank line, output")
