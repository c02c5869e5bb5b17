"""The values of a raw row: whether they are there, of what type, and in what words to say that they are not."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from llmkit.data.column_names import listed, quoted

_TYPES = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object"}


class RowError(Exception):
    """Why one row cannot be used."""


def describe(value: Any) -> str:
    """Return what a JSON value is, in words: `a string`, `null`."""
    return _TYPES.get(type(value), "null")


def expect(value: Any, kind: type, what: str) -> Any:
    """Return the value.

    Raises:
        RowError: It is of another type.
    """
    if not isinstance(value, kind):
        raise RowError(f"{what} is {describe(value)}, not {_TYPES[kind]}")
    return value


def value_of(raw: Mapping[str, Any], column: str) -> Any:
    """Return what a row has in a column.

    Raises:
        RowError: It has no such column; the message lists those that it has, with the nearest name.
    """
    if column not in raw:
        raise RowError(_no_field(column, tuple(raw)))
    return raw[column]


@lru_cache(16)  # whole tables lack a column, and to look through a thousand names takes longer than to read the row
def _no_field(column: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(column, names, n=1)
    guess = f"; did you mean {quoted(close[0])}?" if close else ""
    return f"no field '{column}'; the row has: {listed(names)}{guess}"


def text_of(raw: Mapping[str, Any], column: str) -> str:
    """Return the text in a column.

    Raises:
        RowError: The column is not there, holds no string, or holds nothing but blanks.
    """
    text: str = expect(value_of(raw, column), str, f"field '{column}'")
    if not text.strip():
        raise RowError(f"field '{column}' is empty")
    return text


def check_texts(texts: Mapping[str, str]) -> None:
    """Check that none of some texts is empty.

    Raises:
        RowError: One is; the reason names it.
    """
    for name, text in texts.items():
        if not text.strip():
            raise RowError(f"{name} is empty")


def list_of(value: Any, what: str) -> list[Any]:
    """Return a list, which tables without lists hold as JSON: `["a", "b"]`.

    Raises:
        RowError: It is neither.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise RowError(f"{what} is no JSON array: {error.msg} at column {error.colno}") from None
    items: list[Any] = expect(value, list, what)
    return items
