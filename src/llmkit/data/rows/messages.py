"""A conversation: `{"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}`.

What ShareGPT exports is read as the same: `{"conversations": [{"from": "human", "value": "2 + 2?"}, ...]}`. So are the
two lists of TRL, of which the second alone is learned: `{"prompt": [{"role": "user", ...}], "completion": [...]}`.
Tools, calls of tools, reasoning and weights are those of OpenAI's formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import PrivateAttr

from llmkit.data.column_names import listed
from llmkit.data.rows import Row
from llmkit.data.rows._asked import SYSTEM
from llmkit.data.rows._calls import load_tools, tools_of
from llmkit.data.rows._turns import (
    MORE,
    NOTHING,
    read_message,
    says_more,
    says_something,
    show_message,
    texts_of,
    turn_of,
    unread_keys,
)
from llmkit.data.rows._values import RowError, expect, list_of, value_of

if TYPE_CHECKING:
    import pyarrow as pa

_REST = "completion_messages"
"""The field of a second list with which a conversation goes on: what the assistant says in the first is not learned."""
_PROMPT, _COMPLETION = "prompt", "completion"
"""TRL's columns of both."""


class Messages(Row):
    """A conversation: a list of {role, content}, or of ShareGPT's {from, value}, one of the assistant at least."""

    aliases: ClassVar = {
        "messages": ("messages", "conversation", "conversations", "turns", "dialogue", "chat"),
        "tools": ("tools", "functions"),
        _REST: (),
    }
    optional: ClassVar = frozenset({"tools", _REST})

    holds: Literal["text", "all"] = "text"
    """What is kept of messages: role and content, or also reasoning, calls, names and weights, and the tools beside
    them. `all` where one of the first 100 rows has any of these, and where `finetune` reads the rows itself."""

    _layout: str = PrivateAttr("")

    def recognize(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Self:
        """Fill in the columns and what is kept, and note how the conversations are written."""
        if not self.columns and _is_prompt_and_completion(names, rows):
            named = self.model_copy(update={"columns": {"messages": _PROMPT, _REST: _COMPLETION}})
            return named.recognize(names, rows)
        found = super().recognize(names, rows)
        items = found._items(rows)
        if found.column("tools") in names or _REST in found.columns or any(map(says_more, items)):
            found = found.whole()
        found._layout = found._described(names, items)
        return found

    def whole(self) -> Self:
        """Return the kind that keeps all of its rows, whatever the later ones have."""
        return self.model_copy(update={"holds": "all"})

    def kept(self) -> Self:
        """Return the same kind as an artifact holds it, however the data were written."""
        return type(self)(holds=self.holds)

    def joined(self, other: Row) -> Self | None:
        """Return the kind that holds more."""
        if not isinstance(other, type(self)) or other.columns != self.columns:
            return None
        return other if other.holds == "all" else self

    def used(self) -> list[str]:
        """Return the columns of the conversation, its tools and its system message."""
        return [*super().used(), *SYSTEM]

    def needed(self) -> list[str]:
        """Return the columns of the conversation."""
        return [*super().needed(), *self._rest()]

    def describe(self) -> str:
        """Return the kind, the columns it is read from, and how the messages are written."""
        place = f" from '{self.columns['messages']}'" if "messages" in self.columns else ""
        place += "".join(f" and '{column}', which alone is learned" for column in self._rest())
        return f"messages (messages{place}{self._layout})"

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the conversation, and its tools if it has any; the errors name the turn."""
        column = self.column("messages")
        messages = _read(raw, column)
        for rest in self._rest():
            said = _read(raw, rest)
            _check(said, rest)
            messages = [{**m, "weight": 0} if m["role"] == "assistant" else m for m in messages] + said
        system = next((raw[name] for name in SYSTEM if raw.get(name) is not None), "")
        system = {"role": "system", "content": expect(system, str, "the system message beside the conversation")}
        if system["content"].strip() and messages[:1] != [system]:
            messages.insert(0, system)
        _check(messages, column)
        tools = tools_of(raw.get(self.column("tools")), f"field '{self.column('tools')}'")
        if self.holds == "all":
            return {"messages": messages, **({"tools": tools} if tools is not None else {})}
        more = sorted({key for message in messages for key in message} - {"role", "content"})
        if more or tools is not None:
            what = listed([*more, *(["tools"] if tools is not None else [])])
            raise RowError(
                f"it has {what}, and the first rows have not: row: {{type: messages, holds: all}} keeps them"
            )
        return {"messages": messages}

    def schema(self) -> list[pa.Field]:  # type: ignore[override]
        """Return the column of structs, and the tools as JSON."""
        import pyarrow as pa

        text = [("role", pa.string()), ("content", pa.string())]
        if self.holds == "text":
            return [pa.field("messages", pa.list_(pa.struct(text)))]
        function = pa.struct([("name", pa.string()), ("arguments", pa.string())])
        call = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", function)])
        more = [
            ("reasoning_content", pa.string()), ("tool_calls", pa.list_(call)), ("tool_call_id", pa.string()),
            ("name", pa.string()), ("weight", pa.int8()),
        ]  # fmt: skip
        return [pa.field("messages", pa.list_(pa.struct([*text, *more]))), pa.field("tools", pa.string())]

    def texts(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return what is said and thought, turn by turn; calls are never edited: they are to be carried out."""
        return dict(_texts(row["messages"]))

    def with_texts(self, row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the conversation with other contents; a turn may be empty."""
        messages = []
        for i, message in enumerate(row["messages"]):
            changed = {**message, "content": texts.get(f"messages.{i}", message["content"])}
            if thought := message.get("reasoning_content"):
                changed["reasoning_content"] = texts.get(f"messages.{i}.reasoning_content", thought) or None
            messages.append(changed)
        return {**row, "messages": messages}

    def key_text(self, row: Mapping[str, Any]) -> str:
        """Return all that is thought, said and called; tools, of which many rows have the same, stand for none."""
        return "\n".join(text for message in row["messages"] for text in texts_of(message))

    def turns(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the messages; the tools stand at the first."""
        turns = [turn_of(message) for message in row["messages"]]
        if (tools := load_tools(row.get("tools"))) is not None:
            turns[0] = {**turns[0], "tools": tools}
        return turns

    def with_turns(self, row: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
        """Return the row with some of its messages."""
        return {**row, "messages": [row["messages"][i] for i in kept]}

    def show(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the tools, and what each role says."""
        tools = [("tools", row["tools"])] if row.get("tools") else []
        return [*tools, *(shown for message in row["messages"] for shown in show_message(message))]

    def _rest(self) -> list[str]:
        """Return the column with which a conversation goes on, if there is one."""
        return [self.columns[_REST]] if _REST in self.columns else []

    def _items(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for row in rows:
            for column in (self.column("messages"), *self._rest()):
                with suppress(RowError):  # which says so when it is read
                    found += [item for item in list_of(row.get(column), column) if isinstance(item, dict)]
        return found

    def _described(self, names: Sequence[str], items: Sequence[Mapping[str, Any]]) -> str:
        """Say how the messages of a sample are written, and what of them is not read."""
        tools = self.column("tools")
        said = [" as ShareGPT's from and value"] if any("from" in item for item in items) else []
        beside = [name for name in ("tools", *SYSTEM) if (tools if name == "tools" else name) in names]
        said += [f", {name}" + (f" from '{tools}'" if name == "tools" != tools else "") for name in beside]
        more = [key for key in MORE if any(item.get(key) not in NOTHING for item in items)]
        said += [f"; with {', '.join(more)}"] if more else []
        unread = dict.fromkeys(key for item in items for key in unread_keys(item))
        return "".join(said) + (f"; not read of messages: {listed(unread)}" if unread else "")


def _read(raw: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    items = list_of(value_of(raw, column), f"field '{column}'")
    return [read_message(item, f"{column}.{i}") for i, item in enumerate(items)]


def _is_prompt_and_completion(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether the rows are TRL's, of two lists of messages."""
    if not {_PROMPT, _COMPLETION} <= {*names}:
        return False
    return 2 * sum(isinstance(row.get(_PROMPT), list) for row in rows) > len(rows)


def _texts(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for i, message in enumerate(messages):
        if thought := message.get("reasoning_content"):
            yield f"messages.{i}.reasoning_content", thought
        if message["content"] or not message.get("tool_calls"):
            yield f"messages.{i}", message["content"]


def _check(messages: Sequence[Mapping[str, Any]], column: str) -> None:
    """Check what holds of the whole conversation.

    Raises:
        RowError: The assistant says nothing, or there are two system messages.
    """
    answers = [message for message in messages if message["role"] == "assistant"]
    if not answers:
        raise RowError(f"field '{column}' has no message of the assistant")
    if not any(says_something(message) for message in answers):
        raise RowError(f"field '{column}' has no message of the assistant that is not empty")
    if sum(message["role"] == "system" for message in messages) > 1:
        raise RowError(f"field '{column}' has two system messages; templates take one, at the beginning")
