"""How a table of text is written: delimiter, quotes, escapes and header; what is not given, the file itself says."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

SAMPLE_BYTES = 2**20
"""How much of a file is looked at."""
_SAMPLE_ROWS = 300
_ROW_LINES = 100
_DELIMITERS = (",", ";", "\t", "|")
_NAMED = re.compile('"?sep=(.)"?[\r\n]+', re.IGNORECASE)
"""A first line with which spreadsheets name the delimiter."""
_QUOTED = re.compile('"(?:[^"]|"")*+"')
_ALL_QUOTED = re.compile('(?:"(?:[^"]|"")*+"\r?\n)+')
_NUMBER = re.compile(r"[-+]?[\d.,:/ -]*\d[\d.,:/ -]*%?")
_ESCAPED = re.compile(r'\\(["\\])')
# In the place of characters that Python's reader would take for something else; no decoded text holds such halves.
_HELD = {'"': "\udc22", "\\": "\udc5c", "\r": "\udc0d"}
_BACK = {ord(half): character for character, half in _HELD.items()}
_SPEECH = 3
"""Fields with stray quotes that it takes to believe that a `.csv` is written without quoting."""


Quoting = Literal["auto", "quotes", "none"]
Escape = Literal["auto", "double", "backslash"]


@dataclass(frozen=True, slots=True)
class Dialect:
    r"""How a table is written.

    Attributes:
        delimiter: One character, or `auto`.
        quoting: Whether a field that begins with `"` goes on to the next `"`, over delimiters and lines.
        escape: How a `"` is written inside of quotes: `""` or `\"`.
        header: Whether the first row names the columns.
    """

    delimiter: str = "auto"
    quoting: Quoting = "auto"
    escape: Escape = "auto"
    header: bool | Literal["auto"] = "auto"

    def hold(self, line: str) -> str:
        """Put what is no delimiter, quote or end of a line out of sight of Python's reader."""
        if line.find("\r", 0, -2) >= 0 or line.endswith("\r"):
            body = line.removesuffix("\n").removesuffix("\r" if line.endswith("\r\n") else "")
            line = body.replace("\r", _HELD["\r"]) + line[len(body) :]
        if self.escape == "backslash" and "\\" in line:
            line = _ESCAPED.sub(lambda match: _HELD[match[1]], line)
        return line

    def rows(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Yield the rows of lines that end in a newline.

        Raises:
            csv.Error: There is more between a quote and a delimiter, or a quote is never closed.
        """
        for values in self.reader(map(self.hold, lines)):
            text = "".join(values)
            yield values if text.isascii() else [value.translate(_BACK) for value in values]

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Yield the rows of lines that hold nothing which Python's reader would take for something else."""
        quoting: Any = csv.QUOTE_NONE if self.quoting == "none" else csv.QUOTE_MINIMAL
        # Strict: the opening quote of the next row tells that a quote of this one was never closed.
        return csv.reader(lines, delimiter=self.delimiter, quoting=quoting, strict=self.quoting != "none")

    def describe(self) -> str:
        """Say what was found out."""
        names = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
        inside = '""' if self.escape == "double" else '\\"'
        quotes = "quotes are ordinary characters"
        if self.quoting == "quotes":
            quotes = f"fields may stand in quotes, where {inside} is one"
        header = "the first row names the columns" if self.header else "no header, columns are column1, column2 ..."
        between = names.get(self.delimiter, f"'{self.delimiter}'")
        return f"{between} between fields, {quotes}; {header}"


FOUND_OUT = Dialect()
"""All of it is found out."""


def find_dialect(given: Dialect, sample: str, *, tabs: bool, known: Callable[[Sequence[str]], bool]) -> Dialect:
    """Return a dialect in which nothing is `auto`.

    Every way of reading the first rows is tried, and the one is taken in which the fewest rows differ from the header.

    Args:
        given: What the config says.
        sample: The beginning of the file, in whole lines.
        tabs: Whether its name says that tabs stand between the fields.
        known: Tells whether names of columns are among those that are read.
    """
    named = _NAMED.match(sample)
    if named:
        sample = sample[named.end() :]
    lines = [line + "\n" for line in sample.split("\n") if line.strip()][:_SAMPLE_ROWS]
    delimiters = [given.delimiter] if given.delimiter != "auto" else ["\t"] if tabs else list(_DELIMITERS)
    if named and given.delimiter == "auto":
        delimiters = [named[1]]
    tried = [_settle(replace(given, delimiter=delimiter), lines, tabs=tabs) for delimiter in delimiters]
    several = [
        (num_bad, dialect.quoting == "none", place)
        for place, (dialect, num_bad, num_columns) in enumerate(tried)
        if num_columns > 1
    ]
    found = tried[min(several)[-1] if several else 0][0]
    if found.header == "auto":
        rows = [row for row in _attempts(found, lines[:_ROW_LINES]) if row]
        first, below = rows[0] if rows else [], rows[1:]
        # A number or a question may be a name, too: unless the column below holds the like of it.
        found = replace(found, header=known([name.strip() for name in first]) or not any(
            _is_datum(cell) and (not below or any(place < len(row) and _is_datum(row[place]) for row in below))
            for place, cell in enumerate(first)
        ))  # fmt: skip
    return found


def skip_named(text: str) -> bool:
    """Tell whether a first line does nothing but name the delimiter."""
    return _NAMED.fullmatch(text) is not None


def _settle(given: Dialect, lines: list[str], *, tabs: bool) -> tuple[Dialect, int, int]:
    """Decide on quotes and escapes; return how many rows differ from the header, and how many columns that has."""
    quotings: list[Quoting] = [given.quoting] if given.quoting != "auto" else ["quotes", "none"]
    escapes: list[Escape] = [given.escape] if given.escape != "auto" else ["double", "backslash"]
    if not any('\\"' in line for line in lines):
        escapes = escapes[:1]
    tried: dict[str, tuple[int, Dialect, int]] = {}
    for quoting in quotings:
        dialects = [replace(given, quoting=quoting, escape=escape) for escape in escapes]
        measured = [_measure(dialect, lines, tabs=tabs) for dialect in dialects[: 1 if quoting == "none" else None]]
        best = min(range(len(measured)), key=lambda index: measured[index][0])
        tried[quoting] = (measured[best][0], dialects[best], measured[best][1])
    chosen = quotings[0]
    if len(quotings) > 1 and not _is_quoted(lines, given.delimiter, tried["quotes"][0], tried["none"][0], tabs=tabs):
        chosen = "none"
    num_bad, dialect, num_columns = tried[chosen]
    return dialect, num_bad, num_columns


def _is_quoted(lines: list[str], delimiter: str, quoted_bad: int, plain_bad: int, *, tabs: bool) -> bool:
    """Tell whether quotes are marks around fields, or part of what somebody says."""
    if plain_bad:
        return not tabs or quoted_bad < plain_bad
    rows = [line.rstrip("\r\n").split(delimiter) for line in lines]
    cells = [cell for row in rows for cell in row if '"' in cell]
    whole = [cell for cell in cells if _QUOTED.fullmatch(cell)]
    if not tabs:
        return bool(whole) or len(cells) < _SPEECH
    if max(map(len, rows), default=0) == 1 and _ALL_QUOTED.fullmatch("".join(lines[1:])):
        return True  # of a single column no row can tell by its length that a field goes on in the next line
    # Writers quote a field for what is in it, or all fields of a column, with its name.
    for_what_is_in_it = any('""' in cell[1:-1] for cell in whole)
    columns = list(zip(*rows, strict=True)) if len({len(row) for row in rows}) == 1 else []
    return len(whole) == len(cells) > 0 and (for_what_is_in_it or any(map(_is_all_quoted, columns)))


def _is_all_quoted(column: Sequence[str]) -> bool:
    return len(column) > 1 and all(_QUOTED.fullmatch(cell) for cell in column if cell and not _NUMBER.fullmatch(cell))


def _measure(dialect: Dialect, lines: list[str], *, tabs: bool) -> tuple[int, int]:
    """Return how many rows differ from the first one, and the number of columns of that."""
    num_columns, num_bad = 0, 0
    for index, row in enumerate(_attempts(dialect, lines, tabs=tabs)):
        if not index:
            num_columns = len(row or ())
        num_bad += row is None or len(row) != num_columns
    return num_bad, num_columns


def _attempts(dialect: Dialect, lines: list[str], *, tabs: bool = False) -> Iterator[list[str] | None]:
    """Yield the rows, None for one that cannot be read: it costs its first line."""
    start, num_columns = 0, 0
    while start < len(lines):
        taken = iter(lines[start : start + _ROW_LINES])
        row: list[str] | None
        try:
            row = next(dialect.rows(taken), [])
        except csv.Error:
            row = None
        num_lines = len(lines[start : start + _ROW_LINES]) - sum(1 for _ in taken)
        if row is None or (num_columns and len(row) != num_columns and num_lines > 1):
            num_lines = 1
            plain = lines[start].rstrip("\r\n").split(dialect.delimiter)
            row = plain if tabs and len(plain) == num_columns else row
        num_columns = num_columns or len(row or ())
        start += num_lines
        yield row


def _is_datum(cell: str) -> bool:
    """Tell whether a field of the first row is more likely a value than the name of a column."""
    cell = cell.strip()
    return (
        len(cell) > 60
        or cell.endswith((".", "!", "?", "。", "！", "？"))
        or bool("@" in cell or "://" in cell or _NUMBER.fullmatch(cell))
    )
