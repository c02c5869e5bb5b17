"""Tables of coloured cells: confusion matrices and heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from llmkit.core.page_numbers import number

DARK = 0.58
"""Share of the colour from which on a cell's number is written in that of the page."""
WIDE = 10
"""Columns above which cells are small and without numbers: a pointer on one says it."""


@dataclass(frozen=True)
class Cells:
    """A table by how large its cells are.

    Attributes:
        rows: Names of the rows.
        columns: Names of the columns.
        values: By row; None where there is nothing.
        row_axis: What the rows are.
        column_axis: What the columns are.
        by_row: Colour by the share of a row's sum; else from 0 to 1, or to the greatest value where that is more.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    row_axis: str = ""
    column_axis: str = ""
    by_row: bool = False

    def shares(self) -> list[list[float | None]]:
        """Return how strongly each cell is coloured, from 0 to 1."""
        known = [value for row in self.values for value in row if value is not None]
        top = max([1.0, *known])
        found: list[list[float | None]] = []
        for row in self.values:
            whole = sum(value or 0 for value in row) if self.by_row else top
            found.append([None if v is None else min(max(v / whole, 0.0), 1.0) if whole else 0.0 for v in row])
        return found


def matrix(cells: Cells, title: str) -> str:
    """Return the table, with what its colours mean below it."""
    is_wide = len(cells.columns) > WIDE
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in cells.columns)
    corner = f'<th class="corner">{escape(cells.row_axis)}</th>'
    top = (
        f'<tr><td></td><th class="over" colspan="{len(cells.columns)}">{escape(cells.column_axis)}</th></tr>'
        if cells.column_axis
        else ""
    )
    body = []
    for name, values, shares in zip(cells.rows, cells.values, cells.shares(), strict=True):
        row = "".join(
            _cell(cells, name, column, value, share, is_wide=is_wide)
            for column, value, share in zip(cells.columns, values, shares, strict=True)
        )
        body.append(f'<tr><th scope="row">{escape(name)}</th>{row}</tr>')
    meaning = "share of the row" if cells.by_row else "value"
    most = "100%" if cells.by_row else number(max([1.0, *(v for row in cells.values for v in row if v is not None)]))
    ramp = f'<p class="ramp">{meaning} <span>0</span><i></i><span>{most}</span></p>'
    style = "cells small" if is_wide else "cells"
    return (
        f'<div class="scroll"><table class="{style}" aria-label="{escape(title)}">'
        f"<thead>{top}<tr>{corner}{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>{ramp}"
    )


def _cell(cells: Cells, row: str, column: str, value: float | None, share: float | None, *, is_wide: bool) -> str:
    where = f"{cells.row_axis or 'row'} {row}, {cells.column_axis or 'column'} {column}"
    if value is None or share is None:
        return f'<td class="none" title="{escape(where)}: nothing"></td>'
    of_row = f" ({100 * share:.1f}% of the row)" if cells.by_row else ""
    shown = "" if is_wide else number(round(value, 3))
    text = ";color:var(--page)" if share > DARK else ""
    said = escape(f"{where}: {number(value)}{of_row}")
    zero = "" if value else ' class="zero"'
    style = f"background:color-mix(in srgb,var(--a) {100 * share:.0f}%,var(--card)){text}"
    return f'<td{zero} style="{style}" title="{said}">{shown}</td>'
