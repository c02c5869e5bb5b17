"""What the charts of the reports share: their colours, round ticks, and small histograms as SVG."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

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
        f'<text x="{share * width:.1f}" y="{height - 4}" text-anchor="{anchor(share)}">{escape(tick)}</text>'
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


def anchor(share: float, at_start: str = "start") -> str:
    """Return by which end a label is placed, so that it does not leave the picture."""
    return at_start if share < 0.08 else "end" if share > 0.92 else "middle"
