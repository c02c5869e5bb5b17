"""Charts of the reports as SVG: curves and small histograms, in the colours of the style sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        ticks: Labels of the axis: at its left end, in the middle, at its right end.
        before: `[bins]` counts, drawn in grey behind the others.
        after: `[bins]` counts.
    """

    title: str
    captions: Sequence[tuple[str, str]]
    ticks: tuple[str, str, str]
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
    places = ((0, "start"), (width // 2, "middle"), (width, "end"))
    labels = "".join(
        f'<text x="{x}" y="{height - 4}" text-anchor="{anchor}">{escape(tick)}</text>'
        for tick, (x, anchor) in zip(chart.ticks, places, strict=True)
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
    width, height, left, bottom, top = 900, 300, 80, 40, 12
    xs = [p[0] for points in series.values() for p in points]
    ys = [p[1] for points in series.values() for p in points]
    x_low, x_span = min(xs), max(xs) - min(xs)
    y_low, y_span = min(ys), max(ys) - min(ys)

    def place(point: Point) -> str:
        px = left + (point[0] - x_low) / (x_span or 1) * (width - left - 10)
        py = height - bottom - (point[1] - y_low) / (y_span or 1) * (height - bottom - top)
        return f"{px:.1f},{py:.1f}"

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(y)} by {escape(x)}">']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        py = height - bottom - share * (height - bottom - top)
        value = y_low + share * y_span
        parts.append(f'<line x1="{left}" x2="{width - 10}" y1="{py:.1f}" y2="{py:.1f}" stroke="var(--line)"/>')
        parts.append(f'<text x="{left - 6}" y="{py + 4:.1f}" text-anchor="end">{number(float(f"{value:.3g}"))}</text>')
        px, value = left + share * (width - left - 10), x_low + share * x_span
        anchor = "end" if share == 1 else "middle"
        parts.append(
            f'<text x="{px:.1f}" y="{height - bottom + 16}" text-anchor="{anchor}">{number(round(value))}</text>'
        )
    for i, points in enumerate(series.values()):
        path = " ".join(map(place, points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[i % 4]}" stroke-width="1.8"/>')
        if len(points) == 1:
            cx, cy = place(points[0]).split(",")
            parts.append(f'<circle cx="{cx}" cy="{cy}" r="3" fill="{COLOURS[i % 4]}"/>')
    parts.append(f'<text x="{width / 2}" y="{height - 6}" text-anchor="middle">{escape(x)}</text>')
    turned = f'x="12" y="{height / 2}" transform="rotate(-90 12 {height / 2})" text-anchor="middle"'
    parts.append(f"<text {turned}>{escape(y)}</text></svg>")
    return "".join(parts)
