"""A conversation: `{"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}`.

What ShareGPT exports is read as the same: `{"conversations": [{"from": "human", "value": "2 + 2?"}, ...]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.data.column_names import listed, quoted
from llmkit.data.rows import Row
from llmkit.data.rows._values import RowError, expect, value_of

if TYPE_CHECKING:
    import pyarrow as pa

ROLES = ("system", "user", "assistant")
SHAREGPT = {"human": "user", "gpt": "assistant"}
"""Roles that ShareGPT calls by other names."""


class Messages(Row):
    """A conversation: a list of {role, content}, or of ShareGPT's {from, value}, one of the assistant at least."""

    aliases: ClassVar = {"messages": ("messages", "conversation", "conversations", "turns", "dialogue", "chat")}

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the conversation; the errors name the turn."""
        column = self.column("messages")
        messages = []
        for index, item in enumerate(expect(value_of(raw, column), list, f"field '{column}'")):
            where = f"{column}.{index}"
            # Parquet fills the keys that another row's messages have with null.
            message = {key: part for key, part in expect(item, dict, where).items() if part is not None}
            if {*message} == {"from", "value"}:
                speaker = message["from"]
                message = {"role": SHAREGPT.get(speaker, speaker) if isinstance(speaker, str) else speaker,
                           "content": message["value"]}  # fmt: skip
            if extra := sorted(message.keys() - {"role", "content"}):
                raise RowError(f"{where} has other keys than role and content: {listed(extra)}")
            if message.get("role") not in ROLES:
                raise RowError(f"{where}.role is {quoted(message.get('role'))}; valid: {', '.join(ROLES)}")
            expect(message.get("content"), str, f"{where}.content")
            messages.append(message)
        if not any(message["role"] == "assistant" for message in messages):
            raise RowError(f"field '{column}' has no message of the assistant")
        return {"messages": messages}

    def schema(self) -> list[pa.Field]:  # type: ignore[override]
        """Return the one column of structs."""
        import pyarrow as pa

        message = pa.struct([("role", pa.string()), ("content", pa.string())])
        return [pa.field("messages", pa.list_(message))]

    def texts(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return what is said, turn by turn."""
        return {f"messages.{i}": message["content"] for i, message in enumerate(row["messages"])}

    def with_texts(self, row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the conversation with other contents; a turn may be empty."""
        messages = [
            {**message, "content": texts.get(f"messages.{i}", message["content"])}
            for i, message in enumerate(row["messages"])
        ]
        return {**row, "messages": messages}

    def turns(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the messages."""
        turns: list[dict[str, str]] = row["messages"]
        return turns

    def show(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return what each role says."""
        return [(message["role"], message["content"]) for message in row["messages"]]
