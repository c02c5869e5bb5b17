"""The texts in what an item of a benchmark holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_NO_TEXT = frozenset(("role", "id", "type", "tool_call_id", "weight"))
"""Keys of a conversation's turns and calls that hold no text."""


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a value: a string, or lists and mappings of them; a conversation is one, without its roles."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        found = [text for item in value for text in texts_in(item)]
        turns = bool(value) and all(isinstance(item, dict) and "role" in item for item in value)
        yield from ["\n".join(found)] if turns else found
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in _NO_TEXT:
                yield from texts_in(item)
