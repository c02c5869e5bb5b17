"""Quote names of columns to people: where a table has no header, or JSON goes by persons, they are personal data."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from typing import Any

NAMES_SHOWN = 12
MAX_NAME_CHARS = 64
"""A longer one is no name, but a text where the header should be."""


def listed(names: Iterable[str], *, none: str = "nothing") -> str:
    """Return the first names, for a message; where one of all is personal data, none: beside a mail stands who it is.

    Args:
        names: The names of a row's columns.
        none: What to say if there are none.
    """
    return _listed(tuple(map(str, names))) or none


@functools.lru_cache(64)
def _listed(names: tuple[str, ...]) -> str:
    kinds = _redact("\n".join(names))[1]
    if not kinds and all(len(name) <= MAX_NAME_CHARS for name in names):
        return ", ".join(names[:NAMES_SHOWN])
    what = " and ".join(f"<{kind}>" for kind in kinds) or "whole texts"
    return f"({len(names):,} not named here, since they hold {what}: has the table no header?)"


def _redact(text: str) -> tuple[str, list[str]]:
    from llmkit.text.personal import redact  # its patterns take 12 ms, and few runs have anything to quote

    return redact(text)


def quoted(value: Any) -> str:
    """Return one name in quotes, or another value as Python writes it, redacted and cut."""
    text = value if isinstance(value, str) else repr(value)
    shown = _redact(text[: 64 * MAX_NAME_CHARS])[0]  # more than is shown: a cut address is not found
    shown = shown if len(shown) <= MAX_NAME_CHARS else shown[:MAX_NAME_CHARS] + "..."
    return f"'{shown}'" if isinstance(value, str) else shown


def nearest_column(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest name, else a list of them if they are few."""
    names = list(map(str, names))
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.6):
        return f"; did you mean {quoted(close[0])}?"
    return f"; valid: {listed(sorted(names))}" if 0 < len(names) <= NAMES_SHOWN else ""
