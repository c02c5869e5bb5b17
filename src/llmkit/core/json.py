"""JSON as RFC 8259 has it, written in one place: NaN and infinity are no numbers there, and no reader takes them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any


def dumps(
    value: Any,
    *,
    indent: int | None = None,
    sort_keys: bool = False,
    compact: bool = False,
    ascii_only: bool = False,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """Return a value as JSON.

    Args:
        value: Plain values.
        indent: Spaces a level; None for one line.
        sort_keys: Equal values give equal text.
        compact: No spaces.
        ascii_only: Escape all other characters.
        default: Turns what JSON has no type for into what it has.

    Raises:
        ValueError: A number in it is not finite; the message has its dotted path. Whoever can meet one says so before,
            in the words of what it measures.
    """
    separators = (",", ":") if compact else None
    try:
        return json.dumps(
            value, allow_nan=False, ensure_ascii=ascii_only, indent=indent, sort_keys=sort_keys, separators=separators,
            default=default,
        )  # fmt: skip
    except ValueError:
        if found := next(not_finite(value), None):
            raise ValueError(f"{found[0]} is {found[1]}, a number that JSON does not have") from None
        raise


def not_finite(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers inside plain values that are NaN or infinite, each with its dotted path."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path or "the value", value
        return
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        yield from not_finite(item, f"{path}.{key}" if path else str(key))
