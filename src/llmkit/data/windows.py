"""Cut what is too long into windows of whole parts, such as the exchanges of a conversation, as many in each as fit."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmkit.data.rows import Row

LEADS = ("system", "developer")
"""Roles of the turns that lead a conversation: every window begins with them."""


def latest(count: int, fits: Callable[[int, int], bool]) -> tuple[int, int] | None:
    """Return the last of so many parts that fit together, as (start, stop); None where not even the last one does.

    Args:
        count: How many parts there are.
        fits: Whether those from a start to a stop do; what is within what fits, fits.
    """
    start = bisect_left(range(count), True, key=lambda first: fits(first, count))
    return (start, count) if start < count else None


def windows(count: int, fits: Callable[[int, int], bool]) -> tuple[list[tuple[int, int]], int]:
    """Return windows of as many parts as fit, one behind the other, and how many parts fit into none."""
    found: list[tuple[int, int]] = []
    start = lost = 0
    while start < count:
        # `bisect` looks for the first that is true: the first stop at which it does not fit any more.
        stop = start + bisect_left(range(start + 1, count + 1), True, key=lambda stop: not fits(start, stop))
        if stop == start:
            lost += 1
            stop = start + 1
        else:
            found.append((start, stop))
        start = stop
    return found, lost


def exchanges(turns: Sequence[Mapping[str, Any]]) -> tuple[int, list[int]]:
    """Return where a conversation begins behind what leads it, and where each exchange ends.

    An exchange is what the user says and all that is answered; turns behind the last answer belong to none, but those
    of tools that it has called.
    """
    first = next((i for i, turn in enumerate(turns) if turn["role"] not in LEADS), len(turns))
    ends: list[int] = []
    for i in range(first, len(turns)):
        asks = i + 1 < len(turns) and turns[i + 1]["role"] in ("assistant", "tool")
        if turns[i]["role"] == "assistant" and not asks:
            ends.append(i + 1)
    if any(turn["role"] == "assistant" for turn in turns[max([first, *ends]) :]):  # calls that nothing follows
        ends.append(len(turns))
    return first, ends


def shorter_chats(
    row: Mapping[str, Any],
    kind: Row,
    fits: Callable[[Mapping[str, Any]], bool],
    *,
    split: bool,
) -> tuple[list[dict[str, Any]], int]:
    """Return rows with as much of a conversation as fits, and how many exchanges fit into none.

    What leads the conversation stays; it is cut between exchanges, at its beginning, so that the last answer stays
    whole: as a client does it whose context is full. With `split` what is cut off makes rows of its own.

    Args:
        row: A row of turns.
        kind: What it is; some kinds have one exchange, of which nothing may be cut.
        fits: Whether a row does.
        split: Keep all exchanges, in several rows.
    """
    first, ends = exchanges(kind.turns(row) or [])
    starts = [first, *ends]
    if kind.with_turns(row, range(first)) is None:
        return [], 1

    def part(start: int, stop: int) -> dict[str, Any]:
        return kind.with_turns(row, [*range(first), *range(starts[start], starts[stop])]) or {}

    def within(start: int, stop: int) -> bool:
        return fits(part(start, stop))

    if split:
        found, lost = windows(len(ends), within)
        return [part(*window) for window in found], lost
    window = latest(len(ends), within)
    return ([part(*window)], 0) if window else ([], 1)
