"""Conversations: rows as turns, and the answers in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmkit.core.errors import ConfigError
from llmkit.data.rows import Row
from llmkit.data.rows.messages import Messages

CONVERSATION = Messages()
"""Rows that are conversations, as our own artifacts hold them."""

CONVERSATIONS = ("messages", "prompt_completion")
"""Kinds of rows that are conversations."""


def conversation(question: str, answer: str) -> dict[str, Any]:
    """Return the row of a question and its answer, of the kind `CONVERSATION`."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def conversations_in(column: str) -> Row:
    """Return the kind of rows that have a conversation in one column."""
    return Messages(columns={"messages": column})


def turns(kind: Row, row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row as a conversation.

    Raises:
        ConfigError: Rows of this kind are none.
    """
    found = kind.turns(row)
    if found is None:
        raise ConfigError(f"rows of the kind {kind.type_name} are no conversations")
    return found


def exchange(kind: Row, row: Mapping[str, Any]) -> tuple[list[dict[str, str]], str] | None:
    """Return the last answer of a conversation and the turns before it; None where it ends with another turn.

    Raises:
        ConfigError: Rows of this kind are no conversations.
    """
    *before, last = turns(kind, row)
    return (before, last["content"]) if last["role"] == "assistant" else None
