"""Self-contained HTML reports: one file, no scripts, no network, readable in dark and light."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

Point = tuple[float, float]

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --dim: #667085; --line: #e3e6eb; --card: #f7f8fa; --page: #ffffff;
        --a: #2f6feb; --b: #d9822b; --c: #2d9c6f; --d: #b04fc0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --dim: #98a1b0; --line: #30353f; --card: #1d2128;
        --page: #14171c; --a: #6ea1ff; --b: #f0a65a; --c: #5cc79a; --d: #d68be3; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 960px; padding: 2.5rem 1.5rem 4rem; background: var(--page); color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
.sub { color: var(--dim); margin: .2rem 0 1.6rem }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: .7rem }
.facts div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .6rem .8rem }
.facts b { display: block; font-size: 1.15rem; font-weight: 600; overflow-wrap: anywhere }
.facts span, figcaption { color: var(--dim); font-size: .85rem }
.scroll { overflow-x: auto; margin-bottom: 1rem } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--dim); font-weight: 500 } td.n, th.n { text-align: right }
.bar { display: grid; grid-template-columns: minmax(120px, 30%) 1fr 5.5rem; gap: .8rem; align-items: center; margin: .3rem 0 }
.bar i { display: block; height: .8rem; border-radius: 3px; background: var(--a); min-width: 2px } .bar em { font-style: normal; text-align: right }
figure { margin: 0 } svg { width: 100%; height: auto; display: block } svg text { fill: var(--dim); font-size: 11px }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; margin: .3rem 0 1rem;
      white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace }
.quote { color: var(--dim); margin: .9rem 0 0; font-size: .9rem }
"""
_COLOURS = ("var(--a)", "var(--b)", "var(--c)", "var(--d)")


class Page:
    """A report page, built from top to bottom.

    Args:
        title: Headline.
        subtitle: One sentence with the main result.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.parts = [f"<h1>{escape(title)}</h1>", f'<p class="sub">{escape(subtitle)}</p>']

    def heading(self, text: str) -> None:
        """Begin a section."""
        self.parts.append(f"<h2>{escape(text)}</h2>")

    def facts(self, facts: Mapping[str, str]) -> None:
        """Show a few values as cards."""
        cards = "".join(
            f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in facts.items()
        )
        self.parts.append(f'<div class="facts">{cards}</div>')

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show rows; numbers are aligned to the right and get thousands separators."""
        numeric = [all(isinstance(row[i], int | float) for row in rows) and bool(rows) for i in range(len(headers))]
        head = "".join(f"<th{' class=n' if numeric[i] else ''}>{escape(h)}</th>" for i, h in enumerate(headers))
        body = "".join(
            "<tr>"
            + "".join(f"<td{' class=n' if numeric[i] else ''}>{escape(number(c))}</td>" for i, c in enumerate(row))
            + "</tr>"
            for row in rows
        )
        self.parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def bars(self, values: Sequence[tuple[str, float]]) -> None:
        """Show labelled values as horizontal bars."""
        top = max((value for _, value in values), default=0) or 1
        for label, value in values:
            bar = f'<i style="width:{100 * value / top:.2f}%"></i>'
            self.parts.append(
                f'<div class="bar"><span>{escape(label)}</span><div>{bar}</div><em>{number(value)}</em></div>'
            )
        if not values:
            self.parts.append("<p>nothing</p>")

    def quote(self, caption: str, text: str) -> None:
        """Show a text as it is, under a caption."""
        self.parts.append(f'<p class="quote">{escape(caption)}</p><pre>{escape(text)}</pre>')

    def lines(self, series: Mapping[str, Sequence[Point]], *, x: str, y: str) -> None:
        """Draw curves as SVG; points that are not finite are left out.

        Args:
            series: Name -> (x, y) points in order of x.
            x: Label of the horizontal axis.
            y: Label of the vertical axis.
        """
        finite = {n: [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])] for n, points in series.items()}
        finite = {name: points for name, points in finite.items() if points}
        if not finite:
            self.parts.append("<p>no points yet</p>")
            return
        legend = " &nbsp; ".join(
            f'<span style="color:{_COLOURS[i % 4]}">&#9644;</span> {escape(name)}' for i, name in enumerate(finite)
        )
        self.parts.append(f"<figure>{_svg(finite, x, y)}<figcaption>{legend}</figcaption></figure>")

    def write(self, path: Path) -> None:
        """Write the page."""
        head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(self.title)}</title>'
        head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        path.write_text(f"{head}<body>{''.join(self.parts)}</body></html>\n", encoding="utf-8", errors="replace")


def number(value: Any) -> str:
    """Return a number with thousands separators and at most four significant digits; other values as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or value.is_integer():
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"


def _svg(series: Mapping[str, Sequence[Point]], x: str, y: str) -> str:
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
        parts.append(f'<polyline points="{path}" fill="none" stroke="{_COLOURS[i % 4]}" stroke-width="1.8"/>')
        if len(points) == 1:
            cx, cy = place(points[0]).split(",")
            parts.append(f'<circle cx="{cx}" cy="{cy}" r="3" fill="{_COLOURS[i % 4]}"/>')
    parts.append(f'<text x="{width / 2}" y="{height - 6}" text-anchor="middle">{escape(x)}</text>')
    parts.append(
        f'<text x="12" y="{height / 2}" transform="rotate(-90 12 {height / 2})" text-anchor="middle">{escape(y)}</text></svg>'
    )
    return "".join(parts)
