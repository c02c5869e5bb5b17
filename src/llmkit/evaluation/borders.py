"""What stands around a model's numbers: how text is read, chats rendered, and where writing ends, by two runtimes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product, zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmkit.evaluation.fresh import Answers
    from llmkit.evaluation.probes import Probes

SHOWN = 40
"""Characters of a text that are shown around the first that differs."""


def unlike(asked: Probes, ours: Answers, theirs: Answers, *, whose: str, where: str) -> list[str]:
    """Return how an export reads and renders otherwise than its model, in sentences: the first text and chat alone.

    Args:
        asked: What both were asked.
        ours: The model's answers.
        theirs: The export's.
        whose: What gave them: `the export`.
        where: The model's directory.
    """
    return [
        *_first(_read(asked, ours, theirs, whose, where)),
        *_first(_rendered(asked, ours, theirs, whose, where)),
    ]


def stops(ours: Answers, theirs: Answers, *, whose: str, where: str) -> tuple[str, str]:
    """Return what is wrong about where writing ends, and what is only to be noted of it; each empty for nothing."""
    own, others = sorted(ours.ends or ()), sorted(theirs.ends or ())
    if ours.ends is None or theirs.ends is None or own == others:
        return "", ""
    if ours.ends <= theirs.ends:
        more = sorted(theirs.ends - ours.ends)
        return (
            f"{whose} stops writing at the ids {others}, and {where} at {own}",
            f"{whose} also stops at the ids {more}",
        )
    return f"{whose} stops writing at the ids {others}, and {where} at {own}", ""


def _first(sentences: Iterator[str]) -> list[str]:
    found = list(sentences)
    more = f"; so do {len(found) - 1} more" if len(found) > 1 else ""
    return [found[0] + more] if found else []


def _read(asked: Probes, ours: Answers, theirs: Answers, whose: str, where: str) -> Iterator[str]:
    for text, one, other in zip(asked.texts, ours.read or (), theirs.read or (), strict=False):
        if list(one) != list(other):
            ids, own = _few(other, one), _few(one, other)
            yield f"{whose} reads text otherwise: {text!r} as the ids {ids}, and {where} as {own}"


def _rendered(asked: Probes, ours: Answers, theirs: Answers, whose: str, where: str) -> Iterator[str]:
    if ours.rendered is None or theirs.rendered is None:
        return
    for (turns, _), one, other in zip(product(asked.chats, range(2)), ours.rendered, theirs.rendered, strict=True):
        if one == other:
            continue
        begins = f"{whose} renders a chat of {len(turns)} turns otherwise: "
        if one is None or other is None:
            does, refuses = (where, whose) if other is None else (whose, where)
            yield f"{begins}{refuses} refuses it, and {does} does not"
            continue
        at = next(i for i, (a, b) in enumerate(zip_longest(one, other)) if a != b)
        yield f"{begins}at character {at} it has {_around(other, at)}, and {where} {_around(one, at)}"


def _around(text: str, at: int) -> str:
    return repr(text[max(0, at - SHOWN // 2) : at + SHOWN // 2])


def _few(ids: Sequence[int], others: Sequence[int]) -> str:
    """Return ids from a little before the first that others have otherwise."""
    at = next((i for i, (a, b) in enumerate(zip_longest(ids, others)) if a != b), 0)
    start = max(0, at - 2)
    return f"{'...' if start else ''}{list(ids[start : start + 8])}{'...' if len(ids) > start + 8 else ''}"
