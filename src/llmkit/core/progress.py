"""Progress for terminals (a live bar) and for pipes (a plain line now and then, no control characters)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Self

import rich.console
import rich.progress
from rich.text import Text

from llmkit.core import stop

INTERVAL_S = 5.0
"""Seconds between the first lines where there is no terminal; later a fifth of what has passed."""
LONGEST_S = 600.0
"""The intervals grow no further: a log shows that a run of days is alive."""


class Progress:
    """How far a piece of work is; this base class shows nothing (`--quiet`).

    Args:
        what: Verb form of the work, such as `cleaning`.
        total: Expected final count, if known.
        unit: What is counted, plural.
        console: Where to show it.
    """

    live = False

    def __init__(
        self, what: str, *, total: float | None = None, unit: str = "", console: rich.console.Console | None = None
    ) -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.console = console or rich.console.Console(stderr=True)
        self.count = 0.0
        self.note = ""
        self.below: Callable[[int], Text] | None = None
        """Lines under a live bar, for a width in columns; where there is no bar, `note` has to say it."""
        self.start = time.monotonic()
        self.first = 0.0
        """Count at the start, after a resume; the rate is taken from here."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(failed=kind is not None)

    def begin_at(self, count: float) -> None:
        """Start from an earlier run's count."""
        self.count = self.first = count

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        """Count more work as done; `note` is a short text shown behind, such as the loss.

        Raises:
            Interrupted: A signal has come: between two pieces of work it is safe to stop.
        """
        self.count += amount
        self.note = self.note if note is None else note
        self.show()
        stop.check()

    def show(self) -> None:
        """Update the display."""

    def close(self, *, failed: bool) -> None:
        """End the display."""

    def rate(self) -> float:
        """Units per second so far."""
        return (self.count - self.first) / max(time.monotonic() - self.start, 1e-9)

    def line(self) -> str:
        """Return one line of plain text: count, share, rate, time left, note."""
        unit = f" {self.unit}" if self.unit else ""
        rate = self.rate()
        parts = [f"{self.what}: {self.count:,.0f}{unit}"]
        if self.total:
            parts[0] = f"{self.what}: {self.count:,.0f}/{self.total:,.0f}{unit} ({self.count / self.total:.0%})"
        parts.append(per_time(rate))
        if self.total and rate > 0:
            parts.append(f"{clock((self.total - self.count) / rate)} left")
        if self.note and not (self.live and self.below):
            parts.append(self.note)
        return ", ".join(parts)


class PlainProgress(Progress):
    """A line every few seconds, and ever more seldom the longer it takes."""

    def __init__(self, what: str, **how: Any) -> None:
        super().__init__(what, **how)
        self.last_shown = self.start

    def show(self) -> None:
        """Print a line if the last one is old enough."""
        now = time.monotonic()
        if now - self.last_shown >= max(INTERVAL_S, min((now - self.start) / 5, LONGEST_S)):
            self.last_shown = now
            self.console.print(self.line(), markup=False)


class RichProgress(Progress):
    """A live bar, with lines below it where someone has more to say."""

    live = True

    def __init__(self, what: str, **how: Any) -> None:
        super().__init__(what, **how)
        self.bar = _Bar(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=30 if self.console.width >= 100 else 14),
            _LineColumn(self),
            owner=self,
            console=self.console,
            transient=True,
            refresh_per_second=8,
        )
        self.task = self.bar.add_task(what, total=self.total)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def show(self) -> None:
        """Move the bar."""
        self.bar.update(self.task, completed=self.count)

    def close(self, *, failed: bool) -> None:  # noqa: ARG002 - part of the interface
        """Remove the bar, also when something failed, so that the message stands alone."""
        self.bar.stop()


class _Bar(rich.progress.Progress):
    def __init__(self, *columns: rich.progress.ProgressColumn, owner: Progress, **how: Any) -> None:
        self.owner = owner
        super().__init__(*columns, **how)

    def get_renderables(self) -> Iterable[rich.console.RenderableType]:
        yield from super().get_renderables()
        if self.owner.below:
            yield self.owner.below(self.console.width)


class _LineColumn(rich.progress.ProgressColumn):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def render(self, task: rich.progress.Task) -> Text:  # noqa: ARG002 - the progress object knows
        return Text(self.progress.line().partition(": ")[2])


def per_time(rate: float) -> str:
    """Return a rate per second, or per minute or hour where it is below one: `35/s`, `4.5/s`, `12.0/min`."""
    if rate >= 1 or rate == 0:
        return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
    return f"{60 * rate:.1f}/min" if 60 * rate >= 1 else f"{3600 * rate:.1f}/h"


def clock(seconds: float) -> str:
    """Return a duration as `1:02:03` or `2:03`."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


__all__ = ["PlainProgress", "Progress", "RichProgress", "clock", "per_time"]
