"""One raw row: parse it from JSON, and bring it to JSON's types; whatever is wrong is a `RowError`."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from llmkit.core.json import dumps
from llmkit.data.rows import RowError
from llmkit.data.rows._values import expect

MAX_ROW_BYTES = 256 * 2**20
"""A longer line or text file is broken input rather than a document, and would not fit in memory beside its parse."""

MAX_DEPTH = 100
"""Deeper JSON could be read, but would exhaust the stack wherever it is written again."""


def finite(number: str) -> float | None:
    """Read a number; None for one that no float holds."""
    return value if math.isfinite(value := float(number)) else None


# Not strict: tabs and NUL bytes inside strings are kept, as writers that do not escape them meant it.
_JSON = json.JSONDecoder(strict=False, parse_float=finite, parse_constant=lambda _: None)

_BETWEEN = " \t\r\n,\ufeff\x1e"
"""What may stand around a row: marks of files that were joined, commas of a list, record separators (RFC 7464)."""
_GAP = re.compile(f"[{_BETWEEN}]*")
_COMMAS = re.compile(r'("(?:[^"\\]|\\.)*+")|,(?=\s*[}\]])', re.DOTALL)
"""Commas before the end of an object or a list, and strings, in which they stay."""


def parse_row(line: bytes, decode: Callable[[bytes], str], *, utf8: bool = True) -> dict[str, Any]:
    """Parse one line: strictly and fast, or with patience where that fails.

    Args:
        line: One JSON object, without the newline.
        decode: Turns the line into text, or raises `RowError`.
        utf8: Whether the line is UTF-8 to begin with.
    """
    if len(line) > MAX_ROW_BYTES or not utf8:
        value = parse_json(decode(line))
    else:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            value = parse_json(decode(line))
        else:
            if type(value) is dict and _is_flat(value):
                return value
            if has_rounded(value):
                value = parse_json(decode(line))
    row: dict[str, Any] = expect(value, dict, "the row")
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH:
        check_depth(row)
    return row


def _is_flat(row: dict[str, Any]) -> bool:
    """Tell whether nothing in a row asks for a closer look; spares most rows two passes over their bytes."""
    for item in row.values():
        kind = type(item)
        if kind is list or kind is dict or (kind is float and abs(item) >= 2**63):
            return False
    return True


def has_rounded(value: Any) -> bool:
    """Tell whether a number may have been an integer of more than 64 bits, which orjson reads as a float."""
    level = [value]
    while level:
        item = level.pop()
        kind = type(item)
        if kind is dict:
            level.extend(item.values())
        elif kind is list:
            level.extend(item)
        elif kind is float and abs(item) >= 2**63:
            return True
    return False


def parse_json(text: str, *, check: bool = True) -> Any:
    """Parse JSON as tools write it in practice: NaN and infinity are null, control characters stay.

    Args:
        text: The JSON.
        check: Refuse lone surrogates.

    Raises:
        RowError: It is no JSON, or holds what cannot be written again.
    """
    try:
        value = _decode_json(text)
        if check and ("\\ud" in text or "\\uD" in text):
            check_surrogates(value)
    except json.JSONDecodeError as error:
        raise RowError(f"invalid JSON at column {error.colno}: {error.msg}") from None
    except (RecursionError, ValueError) as error:  # nested too deeply, or an integer of more than 4,300 digits
        raise RowError(f"invalid JSON: {error}") from None
    return value


def _decode_json(text: str) -> Any:
    try:
        return _JSON.decode(text)
    except json.JSONDecodeError:
        mended = _COMMAS.sub(r"\1", text.strip(_BETWEEN))
        if mended == text:
            raise
        with contextlib.suppress(json.JSONDecodeError):
            return _JSON.decode(mended)
        raise  # of what was there, which has the columns that a person sees


def joined_rows(line: bytes, decode: Callable[[bytes], str]) -> list[dict[str, Any]]:
    """Return the objects that stand in one line, where files were joined of which the first did not end its last line.

    Raises:
        RowError: There is something else in it.
    """
    text = decode(line).strip(_BETWEEN)
    rows, place = [], 0
    while place < len(text):
        try:
            value, end = _JSON.raw_decode(text, place)
        except (json.JSONDecodeError, RecursionError, ValueError):
            raise RowError("invalid JSON") from None
        check_depth(expect(value, dict, "the row"))
        check_surrogates(value)
        rows.append(value)
        gap = _GAP.match(text, end)
        place = gap.end() if gap else end
        if place > end and not text[end:place].strip(" \t"):
            raise RowError("invalid JSON")  # written beside each other on purpose, whatever that is
    return rows


def check_surrogates(value: Any) -> None:
    try:
        dumps(value).encode()
    except UnicodeEncodeError:
        raise RowError("a lone surrogate escape (\\ud800 to \\udfff) cannot be written as UTF-8") from None


def check_depth(value: Any) -> None:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    if depth > MAX_DEPTH:
        raise RowError(f"JSON nested deeper than {MAX_DEPTH} levels")


Decode = Callable[[bytes], str]


def text_or_base64(data: bytes) -> str:
    """Return bytes as the text that they are in UTF-8, else in base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode("ascii")


def plain(value: Any, decode: Decode = text_or_base64) -> Any:
    """Return a value as JSON has it: dates in ISO format, other types by their `str`.

    Args:
        value: Anything.
        decode: What becomes of bytes.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, decode) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, decode) for item in value]
    if isinstance(value, bytes):
        return decode(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
