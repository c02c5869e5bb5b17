"""Tools, and calls of tools, as OpenAI writes them: schemas in a list, arguments as JSON in a string.

Both are kept as JSON in strings, since every tool has arguments of its own and Parquet wants one type for all; chat
templates get them as objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llmkit.core.json import dumps
from llmkit.data.column_names import listed
from llmkit.data.rows._values import RowError, expect

CALL_KEYS = ("id", "type", "function")


def tools_of(value: Any, what: str) -> str | None:
    """Return tools as JSON: a list of objects, each a schema; None for no tools.

    Args:
        value: A list, or JSON of one, as data sets of the hub have it.
        what: What to call it in errors.

    Raises:
        RowError: It is neither.
    """
    if value is None or value == []:
        return None
    if isinstance(value, str):
        if not value.strip():
            return None
        items = expect(_loads(value, what), list, what)
    else:
        items = expect(value, list, what)
    tools = [_loads(tool, f"{what}.{i}") if isinstance(tool, str) else tool for i, tool in enumerate(items)]
    for i, tool in enumerate(tools):
        expect(tool, dict, f"{what}.{i}")
    if not tools:
        return None
    return value if isinstance(value, str) and tools == items else _dumps(without_nulls(tools), what)


def load_tools(text: str | None) -> list[dict[str, Any]] | None:
    """Return the tools that `tools_of` has kept."""
    return None if text is None else json.loads(text)


def calls_of(value: Any, where: str) -> list[dict[str, Any]]:
    """Return calls as they are kept: `{id, type, function: {name, arguments}}`, the arguments as JSON.

    Args:
        value: A list of such calls, of `{name, arguments}` alone, or JSON of one; arguments may be objects.
        where: What to call it in errors.

    Raises:
        RowError: It is none; the reason names the call.
    """
    if isinstance(value, str):
        value = _loads(value, where) if value.strip() else []
    return [_call(item, f"{where}.{i}") for i, item in enumerate(expect(value, list, where))]


def said_calls(value: Any, where: str) -> list[dict[str, Any]]:
    """Return the calls in what ShareGPT's `function_call` says: JSON of one `{name, arguments}`, or of a list of them.

    Raises:
        RowError: It is none.
    """
    found = _loads(value, where) if isinstance(value, str) else value
    return calls_of(found if isinstance(found, list) else [found], where)


def load_calls(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return kept calls as chat templates take them, with arguments that are objects."""
    return [
        {**_present(call), "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
        for call in calls
    ]


def sent_calls(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the calls of `load_calls` as servers take them, with arguments that are JSON."""
    return [
        {**call, "function": {**call["function"], "arguments": dumps(call["function"]["arguments"])}} for call in calls
    ]


def call_text(call: Mapping[str, Any]) -> str:
    """Return a kept call for people: `weather({"city": "Oslo"})`."""
    return f"{call['function']['name']}({call['function']['arguments']})"


def without_nulls(value: Any) -> Any:
    """Return a value without the keys that are null: with them Parquet fills up objects that differ in their keys."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def _call(item: Any, where: str) -> dict[str, Any]:
    call = _present(expect(item, dict, where))
    if "function" not in call and "name" in call:
        call = {"id": call.get("id"), "type": "function", "function": {"name": call["name"], **_given(call)}}
    if (kind := call.get("type", "function")) != "function":
        raise RowError(f"{where}.type is {kind!r:.64}; only calls of functions are read")
    function = _present(expect(call.get("function"), dict, f"{where}.function"))
    name = expect(function.get("name"), str, f"{where}.function.name")
    if not name.strip():
        raise RowError(f"{where}.function.name is empty")
    found: dict[str, Any] = {"function": {"name": name, "arguments": _arguments(function, f"{where}.function")}}
    found |= {key: expect(call[key], str, f"{where}.{key}") for key in ("id", "type") if call.get(key) is not None}
    if extra := sorted({*map(str, call)} - {*CALL_KEYS, "index"}):
        raise RowError(f"{where} has other keys than {', '.join(CALL_KEYS)}: {listed(extra)}")
    return {key: found[key] for key in CALL_KEYS if key in found}


def _given(call: Mapping[str, Any]) -> dict[str, Any]:
    return {key: call[key] for key in ("arguments", "parameters") if key in call}


def _arguments(function: Mapping[str, Any], where: str) -> str:
    """Return arguments as JSON of an object; none at all are an empty one."""
    value = next((function[key] for key in ("arguments", "parameters") if key in function), None)
    if value is None or (isinstance(value, str) and not value.strip()):
        return "{}"
    what = f"{where}.arguments"
    if isinstance(value, str):
        expect(_loads(value, what), dict, what)
        return value
    return _dumps(without_nulls(expect(value, dict, what)), what)


def _present(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item is not None}


def _loads(text: str, what: str) -> Any:
    """Return what JSON says.

    Raises:
        RowError: It is none, or has a number that JSON does not have.
    """
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise RowError(f"{what} is no JSON: {error.msg} at character {error.pos + 1:,}") from None
    except (ValueError, RecursionError) as error:  # a constant, or more digits or depth than Python reads
        raise RowError(f"{what} is no JSON that can be read: {error}") from None


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _dumps(value: Any, what: str) -> str:
    try:
        return dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(f"{what} cannot be written as JSON: {error}") from None
