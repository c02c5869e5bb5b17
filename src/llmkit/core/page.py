"""Self-contained HTML reports: one file, no scripts, no network, readable in dark and light."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

from llmkit.core.durable import NEW
from llmkit.core.manifest import PARTIAL
from llmkit.core.page_charts import Histogram, Point, colour, histogram, histogram_ticks
from llmkit.core.page_lines import Line, Plot, curves, legend
from llmkit.core.page_matrix import Cells, matrix
from llmkit.core.page_numbers import compact, number, percent, score, size
from llmkit.core.page_scores import Card, Difference, Interval, Stat, intervals
from llmkit.core.page_style import STYLE

_BREAKS = re.compile(r"([_./-])(?=\w)")
"""Where a long name may go on in the next line."""


@dataclass(frozen=True)
class PartsRow:
    """One row of `Page.parts_table`.

    Attributes:
        label: What the row is about.
        parts: Parts of its bar, as `(start, length, colour)`: shares of the whole width, and 0 to 3, or -1 for grey.
        cells: The columns behind the bar; text as it is, numbers as `number` gives them.
        note: A line in small type below the label.
        style: `sub` for a row that details the one above, `total` for the last one.
    """

    label: str
    parts: Sequence[tuple[float, float, int]]
    cells: Sequence[str | float]
    note: str = ""
    style: Literal["", "sub", "total"] = ""


class Page:
    """A report page, built from top to bottom.

    Args:
        title: Headline.
        subtitle: One sentence with the main result.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self.parts: list[str] = []

    def heading(self, text: str, *, anchor: str = "") -> None:
        """Begin a section; a card may lead to its `anchor`."""
        self.parts.append(f"<h2{f' id={anchor}' if anchor else ''}>{escape(text)}</h2>")

    def subheading(self, text: str) -> None:
        """Begin a part of a section."""
        self.parts.append(f"<h3>{escape(text)}</h3>")

    def facts(self, facts: Mapping[str, str]) -> None:
        """Show a few values as cards."""
        cards = "".join(
            f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for name, value in facts.items()
        )
        self.parts.append(f'<div class="facts">{cards}</div>')

    def cards(self, cards: Sequence[Card]) -> None:
        """Show main results as large cards."""
        self.parts.append(f'<div class="cards">{"".join(card.html() for card in cards)}</div>')

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show rows; numbers are aligned to the right and get thousands separators; cells may be drawn (`Stat`)."""
        kinds = int | float | Stat
        numeric = [all(isinstance(row[i], kinds) for row in rows) and bool(rows) for i in range(len(headers))]
        head = "".join(f"<th{' class=n' if numeric[i] else ''}>{escape(h)}</th>" for i, h in enumerate(headers))
        body = "".join(
            "<tr>"
            + "".join(f"<td{' class=n' if numeric[i] else ''}>{_cell(c)}</td>" for i, c in enumerate(row))
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
            width = max(100 * value / top, 0.01) if value else 0.0
            bar = f'<i style="width:{width:.2f}%"{"" if value else " class=zero"}></i>'
            self.parts.append(
                f'<div class="bar"><span>{escape(label)}</span><div>{bar}</div><em>{number(value)}</em></div>'
            )
        if not values:
            self.parts.append("<p>nothing</p>")

    def quote(self, caption: str, text: str, *, prose: bool = False, from_end: bool = False) -> None:
        """Show a text as it is, under a caption; prose in the page's own font, which suits any script.

        Args:
            caption: The line above.
            text: The text.
            prose: It is prose.
            from_end: Of prose that is scrolled the end is seen first, as of a prompt whose question comes last.
        """
        style = f' class="prose{" from-end" if from_end else ""}" dir="auto"' if prose else ""
        self.parts.append(f'<p class="quote">{escape(caption)}</p><pre{style}>{escape(text)}</pre>')

    def columns(self, texts: Sequence[tuple[str, str, Literal["", "good", "bad"]]]) -> None:
        """Show texts side by side, or below each other where there is no room, each under its caption.

        Args:
            texts: Caption, text, and the verdict that colours its edge.
        """
        body = "".join(
            f'<div class="said {verdict}"><p class="quote">{escape(caption)}</p><pre class="prose" dir="auto">'
            f"{escape(text)}</pre></div>"
            for caption, text, verdict in texts
        )
        self.parts.append(f'<div class="beside">{body}</div>')

    def tokens(self, caption: str, tokens: Sequence[tuple[str, str, bool]]) -> None:
        """Show a text in pieces of alternating colours, under a caption.

        Args:
            caption: The line above.
            tokens: Per piece its text, what a pointer over it shows, and whether it stands out.
        """
        body = "".join(
            f'<i title="{escape(hint)}"{" class=odd" if odd else ""}>{escape(text)}</i>' for text, hint, odd in tokens
        )
        self.parts.append(f'<p class="quote">{escape(caption)}</p><pre class="tokens" dir="auto">{body}</pre>')

    def text(self, text: str, *, style: Literal["plain", "foot"] = "plain") -> None:
        """Show a paragraph in small type: an explanation, or the foot of the page."""
        self.parts.append(f'<p class="{style}">{escape(text)}</p>')

    def notes(self, notes: Sequence[str]) -> None:
        """Show sentences that deserve attention; nothing where there are none."""
        if notes:
            self.parts.append(f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>')

    @contextmanager
    def folded(self, summary: str, aside: str = "", *, is_open: bool = False) -> Iterator[None]:
        """Put what is added inside the `with` block under a line that opens it.

        Args:
            summary: The line.
            aside: Its right end.
            is_open: Show the block from the beginning.
        """
        right = f"<em>{escape(aside)}</em>" if aside else ""
        self.parts.append(f"<details{' open' if is_open else ''}><summary>{right}{escape(summary)}</summary>")
        yield
        self.parts.append("</details>")

    def key(self, names: Mapping[str, int]) -> None:
        """Say which colour means what: names with 0 to 3, or -1 for grey."""
        items = "".join(f'<b style="background:{colour(c)}"></b>{escape(name)}' for name, c in names.items())
        self.parts.append(f'<p class="key">{items}</p>')

    def parts_table(self, headers: Sequence[str], rows: Sequence[PartsRow]) -> None:
        """Show rows with a bar of several parts each.

        Args:
            headers: Headers of the labels and of the cells; the bars have none.
            rows: The rows.
        """
        head = f'<th>{escape(headers[0])}</th><th class="track"></th>'
        head += "".join(f"<th class=n>{escape(header)}</th>" for header in headers[1:])
        body = "".join(_parts_row(row) for row in rows)
        self.parts.append(
            f'<div class="scroll"><table class="parts"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def histograms(self, charts: Sequence[Histogram]) -> None:
        """Draw small histograms side by side."""
        self.parts.append(f'<div class="charts">{"".join(histogram(chart) for chart in charts)}</div>')

    @contextmanager
    def figures(self) -> Iterator[None]:
        """Put the figures added inside the `with` block side by side where there is room."""
        self.parts.append('<div class="figures">')
        yield
        self.parts.append("</div>")

    @contextmanager
    def figure(self, title: str, note: str = "", *, is_wide: bool = False) -> Iterator[None]:
        """Give what is added inside the `with` block a title, and a sentence on how to read it."""
        below = f"<p>{escape(note)}</p>" if note else ""
        self.parts.append(f'<figure class="titled{" wide" if is_wide else ""}"><h4>{escape(title)}</h4>{below}')
        yield
        self.parts.append("</figure>")

    def intervals(self, groups: Sequence[tuple[str, Sequence[Interval]]], *, zero: bool = False) -> None:
        """Draw numbers with their intervals on one axis: marks, or bars from `zero`."""
        if any(rows for _, rows in groups):
            self.parts.append(intervals(groups, zero=zero))
        else:
            self.parts.append("<p>nothing</p>")

    def cells(self, cells: Cells, title: str) -> None:
        """Draw a table of coloured cells."""
        self.parts.append(matrix(cells, title))

    def plot(self, series: Mapping[str, Line], plot: Plot) -> None:
        """Draw curves as SVG; points that are not finite are left out."""
        finite = {name: line.finite() for name, line in series.items()}
        finite = {name: line for name, line in finite.items() if line.points}
        if not finite:
            self.parts.append("<p>no points yet</p>")
            return
        self.parts.append(curves(finite, plot))
        if len(finite) > 1 or plot.diagonal or not plot.marked:
            self.parts.append(legend(list(finite), diagonal=plot.diagonal))

    def lines(self, series: Mapping[str, Sequence[Point]], *, x: str, y: str) -> None:
        """Draw curves of many points.

        Args:
            series: Name -> (x, y) points in order of x; those that are not finite are left out.
            x: Label of the horizontal axis.
            y: Label of the vertical axis.
        """
        self.parts.append("<figure>")
        self.plot({name: Line(points) for name, points in series.items()}, Plot(x, y))
        self.parts.append("</figure>")

    def write(self, path: Path, *, refresh_s: int | None = None) -> None:
        """Write the page, at once for whoever reads it meanwhile; its title names the artifact that it lies in.

        Args:
            path: The file.
            refresh_s: A browser that shows the page reloads it after so many seconds: for work that still goes on.
        """
        artifact = path.absolute().parent
        name = artifact.parent.name if artifact.name == PARTIAL else artifact.name
        title = f"<title>{escape(name)}: {escape(self.title)}</title>"
        head = f'<!doctype html><html lang="en"><head><meta charset="utf-8">{title}'
        head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        if refresh_s:
            head = head.replace("</head>", f'<meta http-equiv="refresh" content="{refresh_s}"></head>')
        new = path.with_name(path.name + NEW)
        top = f"<h1>{escape(self.title)}<span> {escape(name)}</span></h1>"
        top += f'<p class="sub">{escape(self.subtitle)}</p>'
        body = f"<body>{top}{''.join(self.parts)}</body></html>\n"
        new.write_text(head + body, encoding="utf-8", errors="replace")
        new.replace(path)


def _cell(cell: Any) -> str:
    return cell.html() if isinstance(cell, Stat | Difference) else escape(number(cell))


def _parts_row(row: PartsRow) -> str:
    parts = "".join(
        f'<i style="{_place(start, length)};width:{100 * length:.3f}%;background:{colour(c)}"></i>'
        for start, length, c in row.parts
        if length > 0
    )
    bar = f"<div>{parts}</div>" if row.parts else ""
    note = f"<small>{escape(row.note)}</small>" if row.note else ""
    cells = "".join(
        f'<td class="n{" zero" if cell in (0, "") else ""}">{escape(number(cell))}</td>' for cell in row.cells
    )
    style = f' class="{row.style}"' if row.style else ""
    label = _BREAKS.sub(r"\1<wbr>", escape(row.label))
    return f'<tr{style}><th>{label}{note}</th><td class="track">{bar}</td>{cells}</tr>'


def _place(start: float, length: float) -> str:
    """Place a part by its left end; a tiny one at the right end of the bar by that, or it would stick out unseen."""
    if length < 0.01 and start + length > 0.98:
        return f"right:{100 * max(0.0, 1 - start - length):.3f}%"
    return f"left:{100 * start:.3f}%"


__all__ = [
    "Card", "Cells", "Difference", "Histogram", "Interval", "Line", "Page", "PartsRow", "Plot", "Point", "Stat", "compact",
    "histogram_ticks", "number", "percent", "score", "size",
]  # fmt: skip
