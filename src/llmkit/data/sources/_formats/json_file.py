"""JSON: a list of rows, one row, or one object that holds a list of rows; SQuAD's layout; misnamed JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from llmkit.data.rows import RowError
from llmkit.data.rows._values import expect
from llmkit.data.sources import Broken, Record, Span, _rows
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._formats.json_lines import FORMAT as JSON_LINES
from llmkit.data.sources._lines import BOM, read_lines, read_whole
from llmkit.data.sources._nested import flat_rows, is_nested
from llmkit.data.sources._rows import check_depth, check_surrogates, has_rounded, parse_json
from llmkit.data.sources._streams import DAMAGE, describe_damage
from llmkit.data.sources._text import Decoder


class JsonFile(Format):
    """The whole file is parsed at once, up to the size of the longest row; JSON Lines are read line by line."""

    suffixes = (".json",)

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:
        """Yield the rows."""
        data = b""
        try:
            if _is_lines(reading):
                yield from JSON_LINES.read(reading, span)
                return
            stream, decode = reading.open_text()
            with stream:
                data = read_whole(stream).removeprefix(BOM)
            if not data.strip():
                return
            value, suspicious = _parse(data, decode)
            rows = _rows_of(value, reading)
        except RowError as error:
            yield Broken(0, str(error), excerpt=data[:200].decode("utf-8", "replace"))
            return
        except DAMAGE as error:
            yield Broken(0, describe_damage(error, 0))
            return
        for row, value in enumerate(rows):
            try:
                check_depth(expect(value, dict, "the row"))
                if suspicious:
                    check_surrogates(value)
                yield reading.columns.record(row, value)
            except RowError as error:
                yield Broken(row, str(error), excerpt=ascii(value)[:200])

    def spans(self, reading: Reading, num_bytes: int) -> list[Span]:
        """Cut JSON Lines; nothing else."""
        try:
            lines = _is_lines(reading)
        except (RowError, *DAMAGE):
            lines = False
        return JSON_LINES.spans(reading, num_bytes) if lines else reading.whole()


def _is_lines(reading: Reading) -> bool:
    """Tell whether the first line or, if that is damaged, the second is a whole object with more lines around it."""
    stream, decode = reading.open_text()
    with stream:
        lines = []
        for _, line in read_lines(stream):
            lines.append(line)
            if len(lines) == 2 or len(line) > _rows.MAX_ROW_BYTES:
                break
    if len(lines) < 2:
        return False
    return _is_object(lines[0], decode) or (len(lines[0]) > 1 and _is_object(lines[1], decode))


def _is_object(line: bytes, decode: Decoder) -> bool:
    try:
        return line.startswith(b"{") and isinstance(orjson.loads(decode(line)), dict)
    except (orjson.JSONDecodeError, RowError):
        return False


def _parse(data: bytes, decode: Decoder) -> tuple[Any, bool]:
    """Return the value, and whether strings in it may hold what cannot be written as UTF-8."""
    if len(data) > _rows.MAX_ROW_BYTES:
        raise RowError(f"longer than {_rows.MAX_ROW_BYTES:,} bytes; JSON Lines may be of any length")
    try:
        text = decode(data)
    except RowError:
        # The bytes that are no text become lone surrogates, and the rows they are in are broken, not their neighbours.
        return parse_json(data.decode("utf-8", "surrogateescape"), check=False), True
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return parse_json(text, check=False), True
    return (parse_json(text) if has_rounded(value) else value), False


def _rows_of(value: Any, reading: Reading) -> Iterable[Any]:
    """Return the rows: the items of a list; of the only list of objects in an object; or the object itself."""
    items = value if isinstance(value, list) else [value]
    if isinstance(value, dict) and not reading.columns.is_row(value):
        lists = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
        if len(lists) == 1 and not is_nested(items):
            items = lists[0]
    return flat_rows(items) if is_nested(items) else items


FORMAT = JsonFile()
