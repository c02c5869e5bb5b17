"""Curves of the reports as SVG, with bands of their intervals, marks to point at, and the line where axes agree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from llmkit.core.page_charts import COLOURS, Point, anchor, round_values, tick_label
from llmkit.core.page_numbers import number

MARKED = 40
"""Points up to which each of a line gets a mark that says its numbers."""
_DASHES = ("", "7 4", "2 4")
"""Of lines that share a colour, since there are but four: one that nobody could tell from the others is none."""
_TOP, _RIGHT, _BOTTOM = 10, 12, 24


@dataclass(frozen=True)
class Line:
    """Points in order of x.

    Attributes:
        points: (x, y).
        low: Lower end of the interval of each point; empty where there are none.
        high: Upper end likewise.
    """

    points: Sequence[Point]
    low: Sequence[float] = ()
    high: Sequence[float] = ()

    def finite(self) -> Line:
        """Return it without points that are not finite; an interval without an end is as wide as its point."""
        has = bool(self.low) and bool(self.high)
        rows = [
            (point, low if math.isfinite(low) else point[1], high if math.isfinite(high) else point[1])
            for point, low, high in zip(
                self.points,
                self.low if has else [math.nan] * len(self.points),
                self.high if has else [math.nan] * len(self.points),
                strict=True,
            )
            if math.isfinite(point[0]) and math.isfinite(point[1])
        ]
        low, high = ([row[1] for row in rows], [row[2] for row in rows]) if has else ((), ())
        return Line([row[0] for row in rows], low, high)


@dataclass(frozen=True)
class Plot:
    """How curves are drawn.

    Attributes:
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        width: Of the picture, in the units of its texts: 640 for one across the page, 420 for one of two.
        height: Likewise.
        diagonal: Draw y = x, over equal axes.
        marked: Mark points of lines that have few, each with its numbers for a pointer on it.
        grows: Draw x from 0 on by log(1 + x), with ticks at powers of 2.
    """

    x: str
    y: str
    width: int = 640
    height: int = 240
    diagonal: bool = False
    marked: bool = False
    grows: bool = False


def curves(series: Mapping[str, Line], plot: Plot) -> str:
    """Return a chart; every line has at least one point and all its numbers are finite."""
    frame = _Frame(list(series.values()), plot)
    parts = [f'<svg viewBox="0 0 {plot.width} {plot.height}" role="img" aria-label="{escape(_spoken(series, plot))}">']
    parts += frame.grid()
    if plot.diagonal:
        (x0, y0), (x1, y1) = frame.place((frame.x_low, frame.x_low)), frame.place((frame.x_high, frame.x_high))
        ends = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
        parts.append(f'<line {ends} stroke="var(--dim)" stroke-dasharray="4 4"/>')
    for i, line in enumerate(series.values()):
        parts += _band(frame, line, COLOURS[i % 4])
    for i, (name, line) in enumerate(series.items()):
        dash = f' stroke-dasharray="{_DASHES[i // 4 % 3]}"' if i >= 4 else ""
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in map(frame.place, line.points))
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{COLOURS[i % 4]}" stroke-width="1.8"'
            f' stroke-linejoin="round"{dash}/>'
        )
        if plot.marked and len(line.points) <= MARKED:
            parts += _marks(frame, name, line, i)
        elif len(line.points) == 1:
            cx, cy = frame.place(line.points[0])
            parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3" fill="{COLOURS[i % 4]}"/>')
    parts.append("</svg>")
    axes = f'<p class="axis">{escape(plot.y)}</p>', f'<p class="axis right">{escape(plot.x)}</p>'
    style = "plot" if plot.width > 500 else "plot small"
    return f'<div class="{style}">{axes[0]}{"".join(parts)}{axes[1]}</div>'


def legend(names: Sequence[str], *, diagonal: bool = False) -> str:
    """Return what each line is, by its mark and its colour, which not everybody tells apart."""
    items = [
        f'<span><svg viewBox="0 0 22 12" aria-hidden="true"><path d="M0 6H22" stroke="{COLOURS[i % 4]}"'
        f' stroke-width="1.8"{f""" stroke-dasharray="{_DASHES[i // 4 % 3]}" """ if i >= 4 else ""}/>'
        f'<path d="{_shape(i, 11, 6, 4)}" fill="{COLOURS[i % 4]}"/></svg>{escape(name)}</span>'
        for i, name in enumerate(names)
    ]
    if diagonal:
        line = '<path d="M0 6H22" stroke="var(--dim)" stroke-dasharray="4 4"/>'
        items.append(f'<span><svg viewBox="0 0 22 12" aria-hidden="true">{line}</svg>where both are equal</span>')
    return f'<div class="legend">{"".join(items)}</div>'


class _Frame:
    """Where a number lies in the picture."""

    def __init__(self, lines: Sequence[Line], plot: Plot) -> None:
        self.plot = plot
        xs = [point[0] for line in lines for point in line.points]
        ys = [y for line in lines for y in (*(point[1] for point in line.points), *line.low, *line.high)]
        if plot.diagonal:
            xs = ys = [*xs, *ys]
        self.doubles = not plot.diagonal and plot.marked and not plot.grows and _doubles(xs)
        whole = all(float(value).is_integer() for value in xs)  # there is no step 10.5
        self.x_ticks = sorted(set(xs)) if self.doubles else round_values(min(xs), max(xs), whole=whole)
        if plot.grows:
            self.x_ticks = _powers(min(xs), max(xs))
        self.y_ticks = round_values(min(ys), max(ys))
        self.y_step = self.y_ticks[1] - self.y_ticks[0] if len(self.y_ticks) > 1 else 0.0
        if self.y_step:  # the vertical axis begins and ends at round numbers, too
            self.y_ticks = [self.y_ticks[0] - self.y_step] * (min(ys) < self.y_ticks[0]) + self.y_ticks
            self.y_ticks += [self.y_ticks[-1] + self.y_step] * (max(ys) > self.y_ticks[-1])
        if plot.diagonal:
            self.x_ticks = self.y_ticks
        self.x_low, self.x_high = (self.y_ticks[0], self.y_ticks[-1]) if plot.diagonal else (min(xs), max(xs))
        self.left = 84 if plot.width > 500 else 46

    def place(self, point: Point) -> Point:
        """Return where a point lies; SVG counts downwards."""
        low, high, x = self.x_low, self.x_high, point[0]
        if self.doubles:
            low, high, x = math.log(low), math.log(high), math.log(x)
        elif self.plot.grows:
            low, high, x = math.log1p(low), math.log1p(high), math.log1p(x)
        y_low, y_span = self.y_ticks[0], self.y_ticks[-1] - self.y_ticks[0]
        px = self.left + (x - low) / ((high - low) or 1) * (self.plot.width - self.left - _RIGHT)
        space = self.plot.height - _BOTTOM - _TOP
        return px, self.plot.height - _BOTTOM - (point[1] - y_low) / (y_span or 1) * space

    def grid(self) -> Iterator[str]:
        """Yield the lines and labels of the axes."""
        right = self.plot.width - _RIGHT
        for value in self.y_ticks:
            _, py = self.place((self.x_low, value))
            yield f'<line x1="{self.left}" x2="{right}" y1="{py:.1f}" y2="{py:.1f}" stroke="var(--line)"/>'
            label = tick_label(value, self.y_step)
            yield f'<text x="{self.left - 6}" y="{py + 4:.1f}" text-anchor="end">{label}</text>'
        step = self.x_ticks[1] - self.x_ticks[0] if len(self.x_ticks) > 1 else 1.0
        for value in self.x_ticks:
            px, _ = self.place((value, self.y_ticks[0]))
            side = anchor((px - self.left) / (right - self.left), at_start="middle")
            label = number(value) if self.doubles or self.plot.grows else tick_label(value, step)
            yield f'<text x="{px:.1f}" y="{self.plot.height - 4}" text-anchor="{side}">{label}</text>'


def _doubles(xs: Sequence[float]) -> bool:
    """Tell whether numbers are such as 1, 2, 4, 8: then each step is as wide as the next."""
    found = sorted(set(xs))
    return 3 <= len(found) <= 9 and found[0] > 0 and all(1.9 <= b / a <= 2.1 for a, b in pairwise(found))


def _powers(low: float, high: float) -> list[float]:
    """Return 0 and powers of 2 from low to high, every second or third of many."""
    found = [0.0, *(2.0**power for power in range(math.floor(math.log2(max(high, 1.0))) + 1))]
    found = [value for value in found if low <= value <= high]
    return found[:: -(-len(found) // 9)] or [low]


def _band(frame: _Frame, line: Line, colour: str) -> Iterator[str]:
    if not line.low:
        return
    xs = [point[0] for point in line.points]
    upper = [frame.place(pair) for pair in zip(xs, line.high, strict=True)]
    lower = [frame.place(pair) for pair in zip(xs, line.low, strict=True)]
    if len(xs) == 1:
        (px, top), (_, bottom) = upper[0], lower[0]
        yield f'<path d="M{px:.1f} {top:.1f}V{bottom:.1f}" stroke="{colour}" stroke-opacity=".5" stroke-width="2"/>'
        return
    path = "L".join(f"{px:.1f} {py:.1f}" for px, py in [*upper, *reversed(lower)])
    yield f'<path d="M{path}Z" fill="{colour}" fill-opacity=".16"/>'


def _marks(frame: _Frame, name: str, line: Line, which: int) -> Iterator[str]:
    for i, (x, y) in enumerate(line.points):
        px, py = frame.place((x, y))
        ends = f" ({number(line.low[i])} to {number(line.high[i])})" if line.low else ""
        said = escape(f"{name}: {frame.plot.x or 'x'} {number(x)}, {frame.plot.y or 'y'} {number(y)}{ends}")
        # The style sheet gives it a wide transparent border, for a pointer to meet.
        mark = f'class="mark" d="{_shape(which, px, py, 3.4)}" fill="{COLOURS[which % 4]}"'
        yield f"<path {mark}><title>{said}</title></path>"


def _shape(which: int, x: float, y: float, r: float) -> str:
    """Return the outline of a mark: circle, square, triangle or diamond."""
    match which % 4:
        case 0:
            return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z"
        case 1:
            s = 0.88 * r
            return f"M{x - s:.1f} {y - s:.1f}h{2 * s:.1f}v{2 * s:.1f}h{-2 * s:.1f}Z"
        case 2:
            return f"M{x:.1f} {y - 1.15 * r:.1f}L{x + 1.1 * r:.1f} {y + 0.85 * r:.1f}H{x - 1.1 * r:.1f}Z"
        case _:
            s = 1.25 * r
            return f"M{x:.1f} {y - s:.1f}L{x + s:.1f} {y:.1f}L{x:.1f} {y + s:.1f}L{x - s:.1f} {y:.1f}Z"


def _spoken(series: Mapping[str, Line], plot: Plot) -> str:
    """Return the chart in words: the axes, and where each line begins and ends."""
    ends = [
        f"{name} from {number(line.points[0][1])} at {number(line.points[0][0])}"
        f" to {number(line.points[-1][1])} at {number(line.points[-1][0])}"
        for name, line in series.items()
    ]
    return f"{plot.y} by {plot.x}: {'; '.join(ends)}"
