"""Lay out a table as lines of text: columns side by side, or row by row where the terminal is too narrow for that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len

_GAP = 2
# A line may go on behind a blank, and behind any character of a script without blanks; not within an interval.
_PAIR = r"\[[^\s\[\]]+,\s[^\s\[\]]+\]\s*"
_WIDE = r"\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef"
_PIECES = re.compile(rf"^\s+[^\s{_WIDE}]*\s*|{_PAIR}|[{_WIDE}]\s*|[^\s{_WIDE}]+\s*")


def table_lines(
    rows: Sequence[Sequence[str]], headers: Sequence[str] = (), *, numbers_from: int = 99, width: int | None = None
) -> list[str]:
    """Return the lines of a table, without blanks at their ends; with headers the first is theirs.

    Args:
        rows: Cells; those that a row lacks at its end are empty.
        headers: Names of the columns.
        numbers_from: Columns from here on are aligned to the right and never wrapped.
        width: Columns of the terminal; None for as many as the table needs. Words, numbers and intervals
            are never broken: where the longest of all columns do not fit side by side, every row is a block of its own.
    """
    table = [list(headers), *map(list, rows)] if headers else [list(row) for row in rows]
    columns = [[cell.split("\n") for cell in column] for column in zip_longest(*table, fillvalue="")]
    natural = [max(cell_len(line) for cell in column for line in cell) for column in columns]
    widths, gaps = natural, _GAP * (len(natural) - 1)
    if width is not None and sum(natural) + gaps > width:
        kept = [i for i, column in enumerate(columns) if any(map(any, column[bool(headers) :]))]
        if 0 < len(kept) < len(columns):  # a column of which no row says anything takes no room from the others
            return table_lines(
                [[row[i] for i in kept if i < len(row)] for row in rows],
                [headers[i] for i in kept if i < len(headers)],
                numbers_from=sum(i < numbers_from for i in kept),
                width=width,
            )
        least = [*map(_longest_word, columns[:numbers_from]), *natural[numbers_from:]]
        if sum(least) + gaps > width:
            return _blocks(rows, headers, width)
        widths = _share(natural, least, width - gaps)
    lines = []
    for row in zip(*columns, strict=True):
        cells = [[part for line in cell for part in _wrap(line, size)] for cell, size in zip(row, widths, strict=True)]
        lines += [_join(parts, widths, numbers_from) for parts in zip_longest(*cells, fillvalue="")]
    return lines


def _join(parts: Sequence[str], widths: Sequence[int], numbers_from: int) -> str:
    cells = []
    for position, (part, size) in enumerate(zip(parts, widths, strict=True)):
        blanks = " " * (size - cell_len(part))
        cells.append(blanks + part if position >= numbers_from else part + blanks)
    return (" " * _GAP).join(cells).rstrip()


def _longest_word(column: Sequence[Sequence[str]]) -> int:
    return max(cell_len(piece.rstrip()) for cell in column for line in cell for piece in _pieces(line))


def _share(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Return widths that fill the room: none below the least, the wide columns share what the others leave."""
    widths, left = list(least), room - sum(least)
    order = sorted(range(len(natural)), key=lambda position: natural[position] - least[position])
    for number, position in enumerate(order):
        given = min(natural[position] - least[position], left // (len(order) - number))
        widths[position] += given
        left -= given
    return widths


def _pieces(line: str) -> list[str]:
    return _PIECES.findall(line) or [""]


def _wrap(line: str, width: int) -> list[str]:
    """Cut a line between words; the lines behind the first are indented as it is."""
    if cell_len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    lines, current = [], ""
    for piece in _pieces(line):
        if current.strip() and cell_len(current + piece.rstrip()) > width:
            lines.append(current.rstrip())
            current = indent if cell_len(indent + piece.rstrip()) <= width else ""
        current += piece
    return [*lines, current.rstrip()]


def _blocks(rows: Sequence[Sequence[str]], headers: Sequence[str], width: int) -> list[str]:
    """Return every row as a line of its first cell and, indented below, one for each of the others."""
    lines = [(" " * _GAP).join(headers)] if headers else []
    for row in rows:
        lines += _wrap(row[0], width) if row and row[0] else []  # without a name it goes on with the one above
        for name, cell in zip_longest(headers[1 : len(row)], row[1:], fillvalue=""):
            label = f"    {name}: " if name else "    "
            if cell:
                first, *rest = [part for line in cell.split("\n") for part in _wrap(line, max(1, width - len(label)))]
                lines += [label + first, *(" " * len(label) + part for part in rest)]
    return lines
