"""One message of a conversation, in the spellings that people have: OpenAI's, ShareGPT's, those of reasoning models."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from llmkit.data.column_names import quoted
from llmkit.data.rows._calls import call_text, calls_of, load_calls, said_calls
from llmkit.data.rows._values import RowError, describe, expect

ROLES = ("system", "user", "assistant", "tool")
SHAREGPT = {
    "human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "model": "assistant", "function_call": "assistant", "function": "tool", "observation": "tool",
    "function_response": "tool", "tool_response": "tool", "developer": "system",
}  # fmt: skip
"""Who speaks, in ShareGPT's words and those of tools that write its format."""
OTHER_NAMES = {**SHAREGPT, "bot": "assistant", "ai": "assistant", "prompter": "user", "instruction": "system"}
"""What a role may be called that is none here."""
KEYS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name", "weight")
"""What is kept of a message."""
REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names of what is thought before an answer, the first that is there; as transformers has them."""
SHAREGPT_KEYS = ("from", "value")
READ = frozenset((*KEYS, *REASONING, *SHAREGPT_KEYS, "function_call"))
MORE = (*REASONING, "tool_calls", "function_call", "tool_call_id", "name", "weight")
"""What a message may have beside role and content."""
NOTHING: tuple[Any, ...] = (None, "", [], {})
MEDIA = frozenset(("image", "images", "audio", "audios", "video", "videos"))
TEXT_PARTS = frozenset(("text", "input_text", "output_text"))
_PLAIN = {"role", "content"}


def read_message(item: Any, where: str) -> dict[str, Any]:
    """Return a message with those of `KEYS` that it has.

    Args:
        item: The raw message.
        where: What to call it in errors.

    Raises:
        RowError: It is none; the reason names the key.
    """
    # Parquet fills the keys that a message of another row has with null.
    message = {key: part for key, part in expect(item, dict, where).items() if part is not None}
    if message.keys() == _PLAIN and type(message["content"]) is str and message["role"] in ROLES:
        return message
    _check_keys(message, where)
    message, calls = _spelled(message, where)
    role = _role(message.get("role"), where)
    found: dict[str, Any] = {"role": role, "content": _content(message.get("content"), where, bool(calls))}
    if calls and role != "assistant":
        raise RowError(f"{where}.tool_calls are of the role {role}; only the assistant calls tools")
    if reasoning := next((message[key] for key in REASONING if message.get(key)), None):
        found["reasoning_content"] = expect(reasoning, str, f"{where}.reasoning_content")
    if calls:
        found["tool_calls"] = calls
    found |= {key: expect(message[key], str, f"{where}.{key}") for key in ("tool_call_id", "name") if key in message}
    if "weight" in message:
        found |= _weight(message["weight"], role, where)
    return {key: found[key] for key in KEYS if key in found}


def turn_of(message: dict[str, Any]) -> dict[str, Any]:
    """Return a kept message as chat templates take it, without the keys that are null."""
    if len(message) == 2:  # a role and a content, which all have
        return message
    turn = {key: part for key, part in message.items() if part is not None}
    if "tool_calls" in turn:
        turn["tool_calls"] = load_calls(turn["tool_calls"])
    return turn


def says_something(message: Mapping[str, Any]) -> bool:
    """Tell whether a message has words or calls."""
    return bool(message["content"].strip() or message.get("tool_calls"))


def texts_of(message: Mapping[str, Any]) -> list[str]:
    """Return all that stands for a message: what is thought, what is said, and calls."""
    thought = [message["reasoning_content"]] if message.get("reasoning_content") else []
    calls = [call_text(call) for call in message.get("tool_calls") or ()]
    return [*thought, *([message["content"]] if message["content"] or not calls else []), *calls]


def show_message(message: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a message for people."""
    role = message["role"]
    shown = [(f"{role} thinks", message["reasoning_content"])] if message.get("reasoning_content") else []
    calls = [(f"{role} calls", call_text(call)) for call in message.get("tool_calls") or ()]
    caption = f"{role}, not learned" if message.get("weight") == 0 and role == "assistant" else role
    return [*shown, *([(caption, message["content"])] if message["content"] or not calls else []), *calls]


def says_more(item: Mapping[str, Any]) -> bool:
    """Tell whether a raw message has more than a role and a content."""
    return item.get("from") == "function_call" or any(item.get(key) not in NOTHING for key in MORE)


def unread_keys(item: Mapping[str, Any]) -> list[str]:
    """Return the keys of a raw message that say something and are not read."""
    return [str(key) for key, part in item.items() if part not in NOTHING and key not in READ]


def _check_keys(message: Mapping[str, Any], where: str) -> None:
    """Refuse what is no text, and a key that is nearly the name of one that is read; others are told of a sample."""
    for key in map(str, message.keys() - READ):
        if key in MEDIA and message[key] not in NOTHING:
            raise RowError(f"{where} has {key}; only text is read")
        if close := difflib.get_close_matches(key, (*KEYS, *SHAREGPT_KEYS), n=1, cutoff=0.8):
            raise RowError(f"{where} has the key {quoted(key)}; did you mean {quoted(close[0])}?")


def _spelled(message: dict[str, Any], where: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a message with `role` and `content`, and its calls, whoever's words it is written in."""
    if "from" in message and "role" not in message:
        speaker = message.pop("from")
        said = message.pop("value", message.get("content"))
        if speaker == "function_call":
            return {**message, "role": "assistant", "content": None}, said_calls(said, f"{where}.value")
        role = SHAREGPT.get(speaker, speaker) if isinstance(speaker, str) else speaker
        message |= {"role": role, "content": said}
    if message.get("role") == "function":  # OpenAI's, before there were tools
        message["role"] = "tool"
    if message.get("role") == "developer":  # the system of OpenAI's reasoning models
        message["role"] = "system"
    calls = calls_of(message["tool_calls"], f"{where}.tool_calls") if "tool_calls" in message else []
    if not calls and message.get("function_call"):
        calls = said_calls(message["function_call"], f"{where}.function_call")
    return message, calls


def _role(role: Any, where: str) -> str:
    if isinstance(role, str) and role in ROLES:
        return role
    near = difflib.get_close_matches(role.lower(), ROLES, n=1, cutoff=0.7) if isinstance(role, str) else []
    meant = OTHER_NAMES.get(role.lower(), near[0] if near else "") if isinstance(role, str) else ""
    more = f"; did you mean '{meant}'?" if meant else f"; valid: {', '.join(ROLES)}"
    raise RowError(f"{where}.role is {quoted(role)}{more}")


def _content(content: Any, where: str, calls: bool) -> str:
    """Return what is said; parts of it, as a server joins them: a line each."""
    if content is None and calls:
        return ""
    if isinstance(content, list) and content:
        return "\n".join(_part(part, f"{where}.content.{i}") for i, part in enumerate(content))
    if content is None:
        raise RowError(f"{where}.content is null, not a string")
    text: str = expect(content, str, f"{where}.content")
    return text


def _part(part: Any, where: str) -> str:
    kind = expect(part, dict, where).get("type")
    if kind not in TEXT_PARTS:
        raise RowError(f"{where}.type is {quoted(kind)}; only text is read")
    text: str = expect(part.get("text"), str, f"{where}.text")
    return text


def _weight(value: Any, role: str, where: str) -> dict[str, int]:
    """Return a weight: 0 for what is only read, 1 for what is learned."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in (0, 1):
        shown = value if isinstance(value, int | float) and not isinstance(value, bool) else describe(value)
        raise RowError(f"{where}.weight is {shown}; valid: 0 (read, but not learned), 1")
    if role == "assistant":
        return {"weight": int(value)}
    if value:
        raise RowError(f"{where}.weight is 1, of the role {role}; only what the assistant says is learned")
    return {}
