"""Turns of a conversation: what is said in one, and the forms in which chat templates expect calls of tools.

    {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function":
        {"name": "weather", "arguments": {"city": "Rome"}}}]}

Arguments are objects to most templates and JSON to some; what is said beside calls is an empty text, or nothing at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from llmkit.core.json import dumps

if TYPE_CHECKING:
    from llmkit.data.rendering import Turns

Written = TypeVar("Written")

WEIGHT = "weight"
"""Field of a turn that is for training, and no template reads: an answer of weight 0 is read, but not learned."""


def content_of(turn: Mapping[str, Any]) -> str:
    """Return what is said in a turn; of several parts, their texts."""
    content = turn.get("content")
    if isinstance(content, list):
        content = "".join(part if isinstance(part, str) else str(part.get("text") or "") for part in content)
    return content or ""


def reasoning_of(turn: Mapping[str, Any]) -> str:
    """Return what is thought before a turn of the assistant, where it is a field of its own."""
    return turn.get("reasoning_content") or ""


def functions_of(turn: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the functions that a turn calls: {name, arguments}."""
    return [call.get("function") or call for call in turn.get("tool_calls") or ()]


def names_of(tools: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Return the names of tools."""
    return [str((tool.get("function") or tool).get("name") or "") for tool in tools or ()]


def texts_in(value: Any) -> Iterator[str]:
    """Yield all texts in a turn or a tool, the names of fields included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield str(name)
            yield from texts_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts_in(part)


def written(turns: Turns, write: Callable[[Turns], Written]) -> Written:
    """Return what a template writes of turns, calls of tools in the first form of which it writes the functions' names.

    Args:
        turns: The conversation.
        write: Renders one form of it.
    """
    if not any(turn.get("tool_calls") for turn in turns):
        return write(turns)
    names = [str(function.get("name")) for turn in turns for function in functions_of(turn)]
    found: list[Written] = []
    for silent in ("", None):
        for as_text in (False, True):
            made = write([_formed(turn, silent, as_text=as_text) for turn in turns])
            if isinstance(made, str) and all(name in made for name in names):
                return made
            found.append(made)
    return next((made for made in found if isinstance(made, str)), found[0])


def _formed(turn: Mapping[str, Any], silent: str | None, *, as_text: bool) -> Mapping[str, Any]:
    """Return a turn with its calls in one form."""
    if not turn.get("tool_calls"):
        return turn
    calls = []
    for call in turn["tool_calls"]:
        function = call.get("function") or call
        arguments = _arguments(function.get("arguments"), as_text=as_text)
        calls.append({"type": "function", **call, "function": {**function, "arguments": arguments}})
    return {**turn, "content": turn.get("content") or silent, "tool_calls": calls}


def _arguments(arguments: Any, *, as_text: bool) -> Any:
    if as_text:
        return arguments if isinstance(arguments, str) else dumps(arguments if arguments is not None else {})
    if not isinstance(arguments, str):
        return arguments if arguments is not None else {}
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
