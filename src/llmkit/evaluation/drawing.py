"""Draw the figures of tasks on a page: those of several models into one where that can be read, else side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmkit.core.page import Cells, Interval, Line, Page, Plot
from llmkit.evaluation.figures import Bars, Figure, Lines, Matrix

MOST_LINES = 8
"""In one plot: four colours, and twice the kinds of lines that they make."""
NARROW = 6
"""Columns up to which a matrix takes half of the page."""
Found = Mapping[str, Sequence[Figure]]


def draw(page: Page, figures: Found) -> None:
    """Draw the figures of models, by their names; those of one title and kind belong together."""
    titles = dict.fromkeys((figure.title, type(figure)) for found in figures.values() for figure in found)
    for title, kind in titles:
        same = {
            name: figure
            for name, found in figures.items()
            for figure in found
            if (figure.title, type(figure)) == (title, kind)
        }
        _draw_same(page, same)


def _draw_same(page: Page, figures: Mapping[str, Figure]) -> None:
    """Draw one figure of several models."""
    bars = {name: figure for name, figure in figures.items() if isinstance(figure, Bars)}
    lines = {name: figure for name, figure in figures.items() if isinstance(figure, Lines)}
    matrices = {name: figure for name, figure in figures.items() if isinstance(figure, Matrix)}
    if bars:
        _draw_bars(page, bars)
    if lines:
        together = sum(len(figure.lines or {}) for figure in lines.values()) <= MOST_LINES
        for part in [lines] if together else [{name: figure} for name, figure in lines.items()]:
            _draw_lines(page, part, alone=len(lines) == 1)
    for name, figure in matrices.items():
        _draw_matrix(page, figure, name if len(matrices) > 1 else "")


def _draw_bars(page: Page, figures: Mapping[str, Bars]) -> None:
    first = next(iter(figures.values()))
    names = dict.fromkeys(name for figure in figures.values() for name in figure.values or {})
    if len(figures) == 1:
        groups = [("", [Interval(name, *(first.values or {})[name]) for name in names])]
    else:
        groups = [
            (
                name,
                [
                    Interval(model, *(figure.values or {})[name], colour=place % 4)
                    for place, (model, figure) in enumerate(figures.items())
                    if name in (figure.values or {})
                ],
            )
            for name in names
        ]
    with page.figure(first.title, _joined(first.axis[:1].upper() + first.axis[1:], first.note)):
        page.intervals(groups, zero=True)


def _draw_lines(page: Page, figures: Mapping[str, Lines], *, alone: bool) -> None:
    first = next(iter(figures.values()))
    series: dict[str, Line] = {}
    for model, figure in figures.items():
        for name, points in (figure.lines or {}).items():
            only = len(figure.lines or {}) == 1
            label = name if alone else model if only else f"{model}: {name}"
            series[label] = Line(list(zip(points.x, points.y, strict=True)), points.low, points.high)
    width, height = (420, 340) if first.diagonal else (640, 240)
    plot = Plot(first.x, first.y, width, height, diagonal=first.diagonal, marked=True, grows=first.grows)
    with page.figure(first.title, first.note, is_wide=not first.diagonal):
        page.plot(series, plot)


def _draw_matrix(page: Page, figure: Matrix, model: str) -> None:
    cells = Cells(figure.rows, figure.columns, figure.values, figure.row_axis, figure.column_axis, figure.by_row)
    title = f"{figure.title}: {model}" if model else figure.title
    with page.figure(title, figure.note, is_wide=len(figure.columns) > NARROW):
        page.cells(cells, title)


def _joined(*sentences: str) -> str:
    return ". ".join(part.rstrip(".") for part in sentences if part)
