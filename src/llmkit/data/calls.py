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
UNKNOWN = "Zzero"
"""Makes a name one that no tool has."""
FORMS = tuple((silent, as_text) for silent in (MISSING, "", None) for as_text in (False, True))
"""What stands for nothing said beside calls, and whether arguments are JSON."""


def called(turn: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the functions that a turn calls: {name, arguments}."""
    calls = turn.get("tool_calls")
    return [call["function"] for call in calls] if calls else []


def write_calls(turns: Messages, write: Callable[[Messages], str | DataError]) -> str | DataError | None:
    """Return what a template writes of turns, calls of tools in the first form of which it writes the names.

    Args:
        turns: As a template takes them.
        write: Renders one form of them.

    Returns:
        The text; why the template refuses all forms; or None where it leaves calls out of all.
    """
    if not any(called(turn) for turn in turns):
        return write(turns)
    found = []
    for silent, as_text in FORMS:
        formed = [_formed(turn, silent, as_text=as_text) for turn in turns]
        made = write(formed)
        if isinstance(made, str) and _has_calls(formed, made, write):
            return made
        found.append(made)
    return found[0] if all(isinstance(made, DataError) for made in found) else None


def _has_calls(turns: Messages, text: str, write: Callable[[Messages], str | DataError]) -> bool:
    """Tell whether a text has the calls; the list of tools has the names as well, but not such as no tool has."""
    if not all(function["name"] in text for turn in turns for function in called(turn)):
        return False
    renamed = [_renamed(turn) for turn in turns]
    made = write(renamed)
    return not isinstance(made, str) or all(f["name"] in made for turn in renamed for f in called(turn))


def _renamed(turn: Mapping[str, Any]) -> Mapping[str, Any]:
    return _with(turn, [{**function, "name": function["name"] + UNKNOWN} for function in called(turn)])


def _with(turn: Mapping[str, Any], functions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return a turn that calls other functions."""
    if not functions:
        return turn
    pairs = zip(turn["tool_calls"], functions, strict=True)
    return {**turn, "tool_calls": [{**call, "function": function} for call, function in pairs]}


def _formed(turn: Mapping[str, Any], silent: Any, *, as_text: bool) -> Mapping[str, Any]:
    """Return a turn with its calls in one form."""
    if not turn.get("tool_calls"):
        return turn
    formed = {name: part for name, part in turn.items() if name != "content" or part}
    if "content" not in formed and silent is not MISSING:
        formed["content"] = silent
    if not as_text:
        return formed
    return _with(formed, [{**function, "arguments": dumps(function["arguments"])} for function in called(turn)])
