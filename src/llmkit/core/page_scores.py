"""Scores and how sure they are, as HTML that keeps its letters readable at any width: intervals, bars, differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Literal

from llmkit.core.page_charts import colour, round_values, tick_label
from llmkit.core.page_numbers import compact, score

Verdict = Literal["", "good", "bad"]


@dataclass(frozen=True)
class Interval:
    """A number with its interval, drawn as a mark on a line.

    Attributes:
        label: Whose it is.
        value: The number.
        low: Lower end; None where there is no interval.
        high: Upper end likewise.
        colour: 0 to 3, or -1 for grey; the shape of the mark goes with it.
        note: What stands behind the number, such as p.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    colour: int = 0
    note: str = ""

    @property
    def ends(self) -> str:
        """Both ends, or nothing."""
        return "" if self.low is None or self.high is None else f"{score(self.low)} to {score(self.high)}"

    def spoken(self, about: str = "") -> str:
        """Return it in words."""
        said = " ".join(part for part in (about, self.label, score(self.value)) if part)
        return said + (f", 95% interval {self.ends}" if self.ends else "")


@dataclass(frozen=True)
class Stat:
    """A cell of a table: a number, and what belongs to it in small type below.

    Attributes:
        value: The number as it is shown.
        below: The small line; "" for none.
        verdict: Colours it.
    """

    value: str
    below: str = ""
    verdict: Verdict = ""

    def html(self) -> str:
        """Return the cell."""
        below = f"<small>{escape(self.below)}</small>" if self.below else ""
        style = f' class="{self.verdict}"' if self.verdict else ""
        return f"<span{style}>{escape(self.value)}</span>{below}"


@dataclass(frozen=True)
class Difference:
    """A cell of a table: a difference beside zero, with its interval.

    Attributes:
        value: The difference.
        low: Lower end of its interval; None where there is none.
        high: Upper end likewise.
        verdict: Whether it is an improvement or a loss beyond noise; "" for neither.
        word: The verdict in a word, for whom colours do not tell it.
    """

    value: float
    low: float | None = None
    high: float | None = None
    verdict: Verdict = ""
    word: str = ""

    def html(self) -> str:
        """Return the cell: zero is its middle."""
        number = Stat(score(self.value, sign=True), self.word, self.verdict).html()
        if self.low is None or self.high is None:
            return f'<div class="diff">{number}</div>'
        span = max(abs(self.low), abs(self.high), abs(self.value)) or 1.0
        row = Interval("", self.value, self.low, self.high)
        said = f"difference {score(self.value, sign=True)}, 95% interval {row.ends}"
        hue = f"var(--{self.verdict or 'dim'})"
        track = _track(row, -1.15 * span, 1.15 * span, [0.0], hue)
        spoken = f'title="{escape(said)}" aria-label="{escape(said)}"'
        return f'<div class="diff">{number}<div class="zero" role="img" {spoken}>{track}</div></div>'


@dataclass(frozen=True)
class Card:
    """A main result at the top of a page.

    Attributes:
        name: What it is of.
        value: The number as it is shown.
        note: The lines below: its name, its interval, of how many.
        change: Against something else, such as `+0.0312`; "" for nothing.
        verdict: Whether the change is beyond noise, and which way.
        to: The `anchor` of the section that says more; "" for none.
    """

    name: str
    value: str
    note: str = ""
    change: str = ""
    verdict: Verdict = ""
    to: str = ""

    def html(self) -> str:
        """Return the card."""
        said = self.change + {"good": " better", "bad": " worse", "": ""}[self.verdict]
        change = f'<em class="{self.verdict or "even"}">{escape(said)}</em>' if self.change else ""
        inside = f"<span>{escape(self.name)}</span><b>{escape(self.value)}{change}</b>"
        inside += f"<small>{escape(self.note)}</small>"
        return f'<a href="#{escape(self.to)}">{inside}</a>' if self.to else f"<div>{inside}</div>"


def intervals(groups: Sequence[tuple[str, Sequence[Interval]]], *, zero: bool = False) -> str:
    """Return rows of marks with their intervals on one axis.

    Args:
        groups: Name and rows of each; the rows of one lie together.
        zero: Begin at zero and draw bars up to the numbers.
    """
    rows = [row for _, group in groups for row in group]
    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None]
    low, high = min(ends), max(ends)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    pad = 0.04 * (high - low) or abs(high) or 1.0
    begin, end = (low if zero and low == 0 else low - pad), high + pad
    if low >= 0 and high <= 1:  # a share cannot leave these: an axis that does says nothing
        begin, end = max(begin, 0.0), min(end, 1.0)
    ticks = round_values(begin, end)
    parts = []
    for name, group in groups:
        lines = "".join(_row(name, row, begin, end, ticks, zero=zero) for row in group)
        title = f"<p>{escape(name)}</p>" if name and len(groups) > 1 else ""
        parts.append(f'<div class="group">{title}{lines}</div>')
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.0
    tick = compact if max(map(abs, ticks)) >= 10_000 else partial(tick_label, step=step)  # no room for long ones
    labels = "".join(f'<u style="left:{_share(t, begin, end):.2f}%">{tick(t)}</u>' for t in ticks)
    axis = f'<div class="iv axes" aria-hidden="true"><span></span><div>{labels}</div><em></em></div>'
    return f'<div class="intervals">{"".join(parts)}{axis}</div>'


def _row(about: str, row: Interval, begin: float, end: float, ticks: Sequence[float], *, zero: bool) -> str:
    said = escape(row.spoken(about))
    track = _track(row, begin, end, ticks, colour(row.colour), bar=zero)
    aside = " \u00b7 ".join(part for part in (row.ends, row.note) if part)
    return (
        f'<div class="iv" title="{said}"><span>{escape(row.label)}</span>'
        f'<div role="img" aria-label="{said}">{track}</div>'
        f"<em>{escape(score(row.value))}<small>{escape(aside)}</small></em></div>"
    )


def _track(row: Interval, begin: float, end: float, ticks: Sequence[float], hue: str, *, bar: bool = False) -> str:
    parts = [f'<u style="left:{_share(tick, begin, end):.2f}%"></u>' for tick in ticks]
    if bar:
        left, right = sorted((_share(0.0, begin, end), _share(row.value, begin, end)))
        parts.append(f'<i class="bar" style="left:{left:.2f}%;width:{right - left:.2f}%;background:{hue}"></i>')
    if row.low is not None and row.high is not None:
        left, right = _share(row.low, begin, end), _share(row.high, begin, end)
        place = f"left:{left:.2f}%;width:{right - left:.2f}%;color:{hue}"
        parts.append(f'<i class="{"whisker" if bar else "span"}" style="{place}"></i>')
    if not bar:
        at = _share(row.value, begin, end)
        parts.append(f'<b class="s{max(row.colour, 0)}" style="left:{at:.2f}%;background:{hue}"></b>')
    return "".join(parts)


def _share(value: float, begin: float, end: float) -> float:
    return 100 * (value - begin) / ((end - begin) or 1.0)
