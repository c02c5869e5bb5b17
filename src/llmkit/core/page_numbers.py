"""Numbers as the reports show them."""

from __future__ import annotations

import math
from typing import Any


def number(value: Any) -> str:
    """Return a number with thousands separators and at most four significant digits; other values as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or value.is_integer():
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"


def score(value: float | None, *, sign: bool = False) -> str:
    """Return a score so that a column of like ones lines up: four decimals below 10, fewer above; `-` for none.

    From ten millions on there are four digits and a unit, 206.4G: more would push the other columns off the page.
    """
    if value is None or not math.isfinite(value):
        return "-"
    mark = "+" if sign else ""
    if abs(value) >= 1e7:
        power = 3 if abs(value) >= 999_950_000 else 2
        return f"{value / 1000**power:{mark},.4g}{' kMG'[power]}".replace("-", "\u2212")
    decimals = 4 if abs(value) < 10 else 2 if abs(value) < 1000 else 0
    return f"{value:{mark},.{decimals}f}".replace("-", "\u2212")


def compact(value: float) -> str:
    """Return a number in few characters: 950, 1.2k, 35k, 4.1M."""
    if abs(value) >= 999.5:
        power = 3 if abs(value) >= 999_500_000 else 2 if abs(value) >= 999_500 else 1
        return f"{value / 1000**power:.3g}{' kMG'[power]}"
    return f"{value:.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.2g}"


def size(num_bytes: float) -> str:
    """Return bytes in the unit that suits them: 237 B, 13.5 kB, 3.70 MB."""
    for power, unit in enumerate(("B", "kB", "MB", "GB", "TB")):
        if abs(num_bytes) < 999.5 * 1000**power or unit == "TB":
            value = num_bytes / 1000**power
            return f"{value:,.0f} {unit}" if power == 0 else f"{value:,.{1 if power == 1 else 2}f} {unit}"
    raise AssertionError


def percent(part: float, whole: float) -> str:
    """Return a share in percent, never rounded to all or nothing: `0.1%`, `<0.1%`, `99.9%`; empty without a whole."""
    if not whole:
        return ""
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1%"
    return ">99.9%" if 99.9 < share < 100 else f"{share:.1f}%"
