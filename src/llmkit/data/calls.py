"""Calls of tools in the forms that chat templates expect, found by what they write.

    {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function":
        {"name": "weather", "arguments": {"city": "Rome"}}}]}

Arguments are objects to most templates and JSON to some; beside calls, nothing said is an empty text, none, or missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmkit.core.errors import DataError
from llmkit.core.json import dumps

Messages = Sequence[Mapping[str, Any]]
MISSING = object()
FORMS = tuple((silent, as_text) for silent in (MISSING, "", None) for as_text in (False, True))
"""What stands for nothing said beside calls, and whether arguments are JSON."""


def called(turn: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the functions that a turn calls: {name, arguments}."""
    return [call["function"] for call in turn.get("tool_calls") or ()]


def write_calls(messages: Messages, write: Callable[[Messages], str | DataError]) -> str | DataError | None:
    """Return what a template writes of messages, calls of tools in the first form of which it writes the names.

    Args:
        messages: As a template takes them.
        write: Renders one form of them.

    Returns:
        The text; why the template refuses all forms; or None where it leaves calls out of all.
    """
    names = [function["name"] for turn in messages for function in called(turn)]
    if not names:
        return write(messages)
    found = []
    for silent, as_text in FORMS:
        made = write([_formed(turn, silent, as_text=as_text) for turn in messages])
        if isinstance(made, str) and all(name in made for name in names):
            return made
        found.append(made)
    return found[0] if all(isinstance(made, DataError) for made in found) else None


def _formed(turn: Mapping[str, Any], silent: Any, *, as_text: bool) -> Mapping[str, Any]:
    """Return a turn with its calls in one form."""
    if not turn.get("tool_calls"):
        return turn
    formed = {name: part for name, part in turn.items() if name != "content" or part}
    if "content" not in formed and silent is not MISSING:
        formed["content"] = silent
    if as_text:
        functions = [{**function, "arguments": dumps(function["arguments"])} for function in called(turn)]
        pairs = zip(turn["tool_calls"], functions, strict=True)
        formed["tool_calls"] = [{**call, "function": function} for call, function in pairs]
    return formed
