"""Conversations: rows as turns, the answers in them, and what of them is learned.

A turn is {role, content}, the content a string that may be empty. It may also have `reasoning_content`, `tool_calls`
with arguments that are objects, `tool_call_id`, `name`, and the `weight` 0 of what is not to be learned. The first turn
has the `tools` of the conversation: whatever begins a conversation has them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from llmkit.core.errors import ConfigError
from llmkit.core.json import dumps
from llmkit.data.rows import Row, recognize
from llmkit.data.rows._asked import Asked
from llmkit.data.rows._calls import load_tools, sent_calls, tools_of
from llmkit.data.rows._turns import read_message, turn_of, unread_keys
from llmkit.data.rows._values import RowError, expect, list_of, value_of
from llmkit.data.rows.messages import Messages
from llmkit.data.rows.prompt_completion import PromptCompletion

CONVERSATION = Messages()
"""Rows that are conversations of texts alone, as our own artifacts hold them."""

CONVERSATIONS = ("messages", "prompt_completion", "alpaca")
"""Kinds of rows that are conversations."""

Turn = dict[str, Any]
TrainOn = Literal["assistant", "last", "all"]
OWN = frozenset(("tools", "weight", "train"))
"""Keys of turns that no template is given."""
_PLAIN = {"role", "content"}
STAND_IN = "?"
"""An answer for rows that have none yet, while they are read as rows that have one."""


def conversation(question: str, answer: str) -> dict[str, Any]:
    """Return the row of a question and its answer, of the kind `CONVERSATION`."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def conversations_in(column: str) -> Row:
    """Return the kind of rows that have a conversation in one column."""
    return Messages(columns={"messages": column})


def turns(kind: Row, row: Mapping[str, Any]) -> list[Turn]:
    """Return a row as a conversation.

    Raises:
        ConfigError: Rows of this kind are none.
    """
    found = kind.turns(row)
    if found is None:
        raise ConfigError(f"rows of the kind {kind.type_name} are no conversations")
    return found


def exchange(kind: Row, row: Mapping[str, Any]) -> tuple[list[Turn], str] | None:
    """Return the last answer of a conversation and the turns before it; None where it ends with another turn.

    Calls of tools are no answer: they are not compared as text.

    Raises:
        ConfigError: Rows of this kind are no conversations.
    """
    *before, last = turns(kind, row)
    in_words = last["role"] == "assistant" and bool(last["content"] or not last.get("tool_calls"))
    return (before, last["content"]) if in_words else None


def asked_turns(items: Any, tools: Any = None) -> list[Turn]:
    """Return a conversation that is to be answered, as it comes from outside.

    Args:
        items: Messages, as rows have them; none of them has to be the assistant's.
        tools: What the assistant may call.

    Raises:
        RowError: They are none; the reason names the message, as `messages.0.role`.
    """
    name = "messages"
    found = [turn_of(read_message(item, f"{name}.{i}")) for i, item in enumerate(expect(items, list, name))]
    for i, item in enumerate(items):
        if unread := unread_keys(item):
            raise RowError(f"{name}.{i}.{unread[0]} is not read")
    if not found:
        raise RowError(f"{name} is empty")
    if (given := load_tools(tools_of(tools, "tools"))) is not None:
        found[0] = {**found[0], "tools": given}
    return found


def mark_trained(conversation: Sequence[Turn], train_on: TrainOn) -> list[Turn]:
    """Return a conversation in which `train: False` stands at the assistant's turns that are not learned.

    These are turns of the weight 0, empty ones and, with `last`, all but the last. With `all` none is marked.
    """
    said = [i for i, turn in enumerate(conversation) if turn["role"] == "assistant"]
    light = {
        i
        for i in (said if train_on != "all" else ())
        if conversation[i].get("weight") == 0 or is_empty(conversation[i]) or (train_on == "last" and i != said[-1])
    }
    if not light:
        return [*conversation]
    return [{**turn, "train": False} if i in light else turn for i, turn in enumerate(conversation)]


def is_trained(turn: Turn) -> bool:
    """Tell whether a turn is one of the assistant's that is to be learned; see `mark_trained`."""
    return turn["role"] == "assistant" and bool(turn.get("train", True))


def is_empty(turn: Turn) -> bool:
    """Tell whether a turn has neither words nor calls."""
    return not turn["content"].strip() and not turn.get("tool_calls")


def is_plain(conversation: Sequence[Turn]) -> bool:
    """Tell whether turns have nothing but a role and a content, which all have: most do."""
    return max(map(len, conversation), default=2) == 2


def texts_in(turn: Turn) -> Iterator[str]:
    """Yield all that a template may write of a turn: what is said and thought, and calls and tools as JSON."""
    yield turn["content"]
    if turn.keys() != _PLAIN:
        yield from (text for key in ("reasoning_content", "name", "tool_call_id") if (text := turn.get(key)))
        yield from (dumps(turn[key]) for key in ("tool_calls", "tools") if key in turn)


def for_template(conversation: Sequence[Turn]) -> tuple[Sequence[Turn], list[Turn] | None]:
    """Return messages and tools as transformers' `apply_chat_template` gives them to a template.

    What is thought has the names `reasoning_content` and `thinking`; a call without words has no `content`, which is
    null in the data.
    """
    if is_plain(conversation):
        return conversation, None
    messages = []
    for turn in conversation:
        message = {key: part for key, part in turn.items() if key not in OWN}
        if "tool_calls" in message and not message["content"]:
            del message["content"]
        if "reasoning_content" in message:
            message = {"thinking": message["reasoning_content"], **message}
        messages.append(message)
    return messages, conversation[0].get("tools") if conversation else None


def for_server(conversation: Sequence[Turn]) -> dict[str, Any]:
    """Return messages, and tools if there are any, as servers with OpenAI's interface take them."""
    messages = [{key: part for key, part in turn.items() if key not in OWN} for turn in conversation]
    for message in messages:
        if "tool_calls" in message:
            message["tool_calls"] = sent_calls(message["tool_calls"])
    tools = conversation[0].get("tools") if conversation else None
    return {"messages": messages, **({"tools": tools} if tools else {})}


def has_any_turns(kind: Row) -> bool:
    """Tell whether rows are conversations of any number of turns, which only a chat template puts."""
    return isinstance(kind, Messages)


def filled(kind: Row, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a raw row with an answer, whether or not it has one.

    Raises:
        RowError: What should be a conversation is none.
    """
    if isinstance(kind, Messages):
        column = kind.column("messages")
        items = list_of(value_of(raw, column), f"field '{column}'")
        last = items[-1] if items and isinstance(items[-1], Mapping) else {}
        speaker = last.get("role") or last.get("from")
        answered = speaker in ("assistant", "gpt", "chatgpt", "model", "bot", "ai")
        return {**raw, column: items if answered else [*items, {"role": "assistant", "content": STAND_IN}]}
    if isinstance(kind, Asked):
        *asked, answer = kind.text_fields
        for field in asked:
            if field not in kind.optional:
                value_of(raw, kind.column(field))  # before there is an answer, which the row does not have
        column = kind.column(answer)
        return {**raw, column: raw.get(column) or STAND_IN}
    return dict(raw)


def recognize_questions(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]
) -> Row | None:
    """Return what kind of conversations rows would be, if each had an answer."""
    for part in CONVERSATIONS:
        own = {**columns}
        answer = {"prompt_completion": "completion", "alpaca": "output"}.get(part)
        full: list[dict[str, Any]] = []
        with suppress(ConfigError, RowError):
            if answer is None:
                usual = (columns.get("messages"), *Messages.aliases["messages"], "prompt")
                column = next(name for name in usual if name in names) if {*usual} & {*names} else None
                if column is None:
                    continue
                own["messages"] = column
                full = [filled(Messages(columns={"messages": column}), row) for row in rows]
                return recognize([part], names, full, own)
            full = [{**row, answer: row.get(answer) or STAND_IN} for row in rows]
            return recognize([part], list(dict.fromkeys([*names, answer])), full, own)
    return None


def kind_of_answers(kinds: Sequence[Row | None], *, system: bool) -> Row:
    """Return what kind of rows answers are written as: prompts and completions or, if any has more turns, messages."""
    several = [kind for kind in kinds if (kind is not None and has_any_turns(kind)) or getattr(kind, "history", False)]
    if several:
        more = any(getattr(kind, "holds", "text") == "all" for kind in several)
        return Messages(holds="all" if more else "text")
    return PromptCompletion(system=system or any(getattr(kind, "system", False) for kind in kinds))


def answered(kind: Row, turns: Sequence[Turn], row: Mapping[str, Any] | None, text: str) -> dict[str, Any]:
    """Return a row of a kind from `kind_of_answers`.

    Args:
        kind: The kind.
        turns: The conversation up to the answer.
        row: The row that asked, if it is a conversation: calls and tools are kept as they stand in it.
        text: The answer.
    """
    if isinstance(kind, PromptCompletion):
        said = {"prompt": turns[-1]["content"], "completion": text}
        system = turns[0]["content"] if turns[0]["role"] == "system" else ""
        return {**said, **({"system": system} if kind.system else {})}
    if row is not None and "messages" in row:
        messages = row["messages"]
        before = messages[:-1] if messages[-1]["role"] == "assistant" else messages
        if turns[0]["role"] == "system" and before[0]["role"] != "system":
            before = [turns[0], *before]
    else:
        before = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    tools = {"tools": row["tools"]} if row and row.get("tools") else {}
    return {"messages": [*before, {"role": "assistant", "content": text}], **tools}
