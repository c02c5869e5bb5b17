"""What a report draws of a task's samples: data alone, each kind drawn by the page in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Base of all kinds.

    Attributes:
        title: What is seen, in a few words.
        note: How to read it, in a sentence; "" for nothing.
    """

    title: str
    note: str = ""


@dataclass(frozen=True)
class Bars(Figure):
    """A value for each of some names, with its interval where there is one.

    Attributes:
        values: Name to value, lower and upper end; both ends None where there are none.
        axis: What is measured.
    """

    values: Mapping[str, tuple[float, float | None, float | None]] | None = None
    axis: str = ""


@dataclass(frozen=True)
class Points:
    """One line of a figure.

    Attributes:
        x: Where.
        y: Values.
        low: Lower ends of their intervals; empty where there are none.
        high: Upper ends likewise.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Lines(Figure):
    """Values over a quantity: perplexity by position, a reliability plot.

    Attributes:
        lines: Name to points.
        x: What the horizontal axis measures.
        y: What the vertical axis measures.
        diagonal: Draw y = x, where a perfect line would lie.
        grows: x is counted from 0 or 1 by steps that grow, such as 1, 2, 4, 8: the beginning gets as much room.
    """

    lines: Mapping[str, Points] | None = None
    x: str = ""
    y: str = ""
    diagonal: bool = False
    grows: bool = False


@dataclass(frozen=True)
class Matrix(Figure):
    """A table of cells by how large they are: a confusion matrix, a heat map of depth and length.

    Attributes:
        rows: Names of the rows.
        columns: Names of the columns.
        values: By row; None where there is nothing.
        row_axis: What the rows are.
        column_axis: What the columns are.
        by_row: Colour by the share of a row's sum, as of a confusion matrix; else from 0 to 1.
    """

    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    values: Sequence[Sequence[float | None]] = ()
    row_axis: str = ""
    column_axis: str = ""
    by_row: bool = False
