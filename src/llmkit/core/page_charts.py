"""Charts of the reports as SVG: curves and small histograms, in the colours of the style sheet."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

Point = tuple[float, float]

COLOURS = ("var(--a)", "var(--b)", "var(--c)", "var(--d)")
_GREY = "var(--dim)"


@dataclass(frozen=True)
class Histogram:
    """Two distributions of one quantity over the same bins, or one: then `before` is all zeros.

    Attributes:
        title: The quantity.
        captions: Lines below the title, each of two texts: left and right.
        ticks: Labels of the axis, each with its place as a share of the width; see `histogram_ticks`.
        before: `[bins]` counts, drawn in grey behind the others.
        after: `[bins]` counts.
    """

    title: str
    captions: Sequence[tuple[str, str]]
    ticks: Sequence[tuple[float, str]]
    before: Sequence[int]
    after: Sequence[int]


def number(value: Any) -> str:
    """Return a number with thousands separators and at most four significant digits; other values as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or value.is_integer():
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"


def colour(number: int) -> str:
    """Return the colour 0 to 3, or grey for -1."""
    return _GREY if number < 0 else COLOURS[number]


def histogram(chart: Histogram) -> str:
    """Return a small chart of one or two distributions."""
    width, height, bottom = 220, 96, 16
    top = max(*chart.before, *chart.after, 1)
    step = width / len(chart.before)

    def area(counts: Sequence[int]) -> str:
        base = height - bottom
        path = "".join(f"V{base - (base - 4) * count / top:.1f}H{(i + 1) * step:.1f}" for i, count in enumerate(counts))
        return f"M0 {base}{path}V{base}Z"

    aside = " before and after" if any(chart.before) else ""
    captions = "".join(f"<span><span>{escape(a)}</span><span>{escape(b)}</span></span>" for a, b in chart.captions)
    labels = "".join(
        f'<text x="{share * width:.1f}" y="{height - 4}" text-anchor="{_anchor(share)}">{escape(tick)}</text>'
        for share, tick in chart.ticks
    )
    return (
        f"<figure><figcaption><b>{escape(chart.title)}</b>{captions}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(chart.title)}{aside}">'
        f'<path d="{area(chart.before)}" fill="{_GREY}" fill-opacity=".3"/>'
        f'<path d="{area(chart.after)}" fill="var(--a)" fill-opacity=".45" stroke="var(--a)" stroke-width="1"/>'
        f'<line x1="0" x2="{width}" y1="{height - bottom}" y2="{height - bottom}" stroke="var(--line)"/>'
        f"{labels}</svg></figure>"
    )


def curves(series: Mapping[str, Sequence[Point]], x: str, y: str) -> str:
    """Return a chart of curves; every series has at least one point and all points are finite."""
    width, height, left, bottom, top = 640, 240, 84, 24, 10
    xs = [p[0] for points in series.values() for p in points]
    ys = [p[1] for points in series.values() for p in points]
    whole = all(float(value).is_integer() for value in xs)  # there is no step 10.5
    x_ticks, y_ticks = round_values(min(xs), max(xs), whole=whole), round_values(min(ys), max(ys))
    x_low, x_span = min(xs), max(xs) - min(xs)
    y_step = y_ticks[1] - y_ticks[0] if len(y_ticks) > 1 else 0.0
    # The vertical axis begins and ends at round numbers, too.
    if y_step:
        y_ticks = [y_ticks[0] - y_step] * (min(ys) < y_ticks[0]) + y_ticks
        y_ticks += [y_ticks[-1] + y_step] * (max(ys) > y_ticks[-1])
    y_low, y_span = y_ticks[0], y_ticks[-1] - y_ticks[0]

    def place(point: Point) -> tuple[float, float]:
        px = left + (point[0] - x_low) / (x_span or 1) * (width - left - 10)
        return px, height - bottom - (point[1] - y_low) / (y_span or 1) * (height - bottom - top)

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(y)} by {escape(x)}">']
    for value in y_ticks:
        _, py = place((x_low, value))
        parts.append(f'<line x1="{left}" x2="{width - 10}" y1="{py:.1f}" y2="{py:.1f}" stroke="var(--line)"/>')
        parts.append(f'<text x="{left - 6}" y="{py + 4:.1f}" text-anchor="end">{tick_label(value, y_step)}</text>')
    for value in x_ticks:
        px, _ = place((value, y_low))
        step = x_ticks[1] - x_ticks[0] if len(x_ticks) > 1 else 1.0
        anchor = _anchor((px - left) / (width - left - 10), at_start="middle")
        label = tick_label(value, step)
        parts.append(f'<text x="{px:.1f}" y="{height - 4}" text-anchor="{anchor}">{label}</text>')
    for i, points in enumerate(series.values()):
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in map(place, points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[i % 4]}" stroke-width="1.8"/>')
        if len(points) == 1:
            cx, cy = place(points[0])
            parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3" fill="{COLOURS[i % 4]}"/>')
    parts.append("</svg>")
    axes = f'<p class="axis">{escape(y)}</p>', f'<p class="axis right">{escape(x)}</p>'
    return f'<div class="plot">{axes[0]}{"".join(parts)}{axes[1]}</div>'


def round_values(low: float, high: float, most: int = 5, *, whole: bool = False) -> list[float]:
    """Return multiples of 1, 2, 2.5 or 5 times a power of ten from low to high; of one value, itself.

    Args:
        low: Where they begin.
        high: Where they end.
        most: How many at most.
        whole: Only whole numbers.
    """
    if not high > low:
        return [low]
    least = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(least))
    steps = (factor * power for factor in (1, 2, 2.5, 5, 10))
    step = next(step for step in steps if step >= least * (1 - 1e-9) and (step.is_integer() or step < 1 or not whole))
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = 12 - math.floor(math.log10(step))
    return [round(number * step, digits) + 0.0 for number in range(first, last + 1)]


def tick_label(value: float, step: float) -> str:
    """Return a tick with as many digits as its distance to the next one asks for."""
    if abs(value) >= 1e6 and (not step or step >= 1000):
        return f"{value / 1e6:,.6g}M"
    if not step or step < 1e-4:
        return f"{value:.4g}"
    decimals = max(0, 1 - math.floor(math.log10(step)))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def histogram_ticks(edges: Sequence[float], shown: Callable[[float], str]) -> list[tuple[float, str]]:
    """Return the ticks of a histogram at round numbers: powers of ten or what is between, or multiples of a step.

    Args:
        edges: `[bins + 1]` ascending; bins are equally wide on the page.
        shown: Turns a value into its label.
    """
    low, high = edges[0], edges[-1]
    if low > 0 and high > 8 * low:
        powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
        found = [value for value in powers if low <= value <= high]
        if len(found) < 3:
            found = [f * p for p in powers for f in (1, 2, 5) if low <= f * p <= high]
        found = found[:: -(-len(found) // 4)]
    else:
        found = round_values(low, high, 4)
    return [(_share_of(value, edges), shown(value)) for value in found]


def _share_of(value: float, edges: Sequence[float]) -> float:
    position = min(max(bisect_right(edges, value) - 1, 0), len(edges) - 2)
    inside = (value - edges[position]) / ((edges[position + 1] - edges[position]) or 1)
    return (position + inside) / (len(edges) - 1)


def _anchor(share: float, at_start: str = "start") -> str:
    return at_start if share < 0.08 else "end" if share > 0.92 else "middle"
