"""An instruction, what it is about, and the answer: `{"instruction": "Add", "input": "2 + 2", "output": "4"}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from llmkit.data.rows._asked import SYSTEM, Asked


class Alpaca(Asked):
    """Stanford Alpaca's rows, and Dolly's: the user's turn is the instruction and, behind a blank line, the input."""

    text_fields: ClassVar = ("instruction", "input", "output")
    may_be_empty: ClassVar = frozenset({"input"})
    aliases: ClassVar = {
        "instruction": ("instruction",), "input": ("input", "context"), "output": ("output", "response"),
        "system": SYSTEM,
    }  # fmt: skip

    def question(self, row: Mapping[str, Any]) -> str:
        """Return the instruction, and the input behind a blank line."""
        return "\n\n".join(filter(None, (row["instruction"], row["input"])))

    def describe(self) -> str:
        """Return the kind, its columns, and how the question is made."""
        return super().describe().replace(", output", " behind a blank line, output")
