"""Extractive question answering: a text in windows behind its question, and the span of it that is the answer.

Training, its validation and every runtime cut and choose here (Devlin et al. 2018, "BERT", section 4.2 and 4.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedConfig

SETTINGS = "question_answering"
"""Where a model's config keeps how it is asked."""
LEAST_ROOM = 8
"""The share of a window, one in so many tokens, that a question has to leave for the text."""


@dataclass(frozen=True)
class Asking:
    """How a model is asked.

    Attributes:
        max_tokens: Length of a window, question and special tokens included; None for what the model reads.
        stride: Tokens of the text that two windows share.
        max_answer_tokens: Longest answer.
        threshold: "No answer" is said where its score is that far above the best answer's; None if never.
    """

    max_tokens: int | None = None
    stride: int = 128
    max_answer_tokens: int = 30
    threshold: float | None = 0.0

    @classmethod
    def of(cls, config: PreTrainedConfig) -> Asking:
        """Return what a model's config says, or what is usual."""
        kept = getattr(config, SETTINGS, None)
        known = cls.__dataclass_fields__
        return cls(**{name: value for name, value in kept.items() if name in known}) if kept else cls()

    def write(self, config: PreTrainedConfig) -> None:
        """Put it into a model's config."""
        setattr(config, SETTINGS, asdict(self))


@dataclass(frozen=True)
class Window:
    """A part of a text behind its question, as the model reads it.

    Attributes:
        ids: With special tokens.
        types: Which of the two each stands for.
        first: Position of the first token of the text.
        start: Which token of the whole text that is.
        offsets: Characters of the text that its tokens in the window stand for, int64 `[tokens, 2]`.
    """

    ids: list[int]
    types: list[int]
    first: int
    start: int
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class Chosen:
    """The best span of a window or a text.

    Attributes:
        start: Its first character.
        end: The one behind its last; equal to `start` where there is none.
        score: Sum of its two logits.
        none: The same of "no answer".
    """

    start: int
    end: int
    score: float
    none: float


def windows(encoding: Encoding, limit: int, stride: int) -> list[Window]:
    """Cut an encoded pair of question and text into windows; the question is whole in each.

    Args:
        encoding: The pair, whole.
        limit: Most tokens of a window.
        stride: Tokens of the text that two windows share, at most half of those of one.

    Returns:
        One window at least; none where no token stands for the text, or the question leaves it no room.
    """
    inside = np.array([side == 1 for side in encoding.sequence_ids], np.bool_)
    if not inside.any():
        return []
    ids, types = encoding.ids, encoding.type_ids
    first, stop = int(inside.argmax()), len(ids) - int(inside[::-1].argmax())
    size = stop - first
    room = limit - len(ids) + size
    if room < max(1, limit // LEAST_ROOM) and room < size:
        return []
    offsets = np.array(encoding.offsets, np.int64)[first:stop]
    step = room - min(stride, room // 2)
    starts = range(0, max(size - room, 0) + step, step) if size > room else (0,)
    return [
        Window(
            ids[:first] + ids[first + start : first + min(start + room, size)] + ids[stop:],
            types[:first] + types[first + start : first + min(start + room, size)] + types[stop:],
            first, start, offsets[start : start + room],
        )
        for start in starts
    ]  # fmt: skip


def tokens_of(offsets: NDArray[np.int64], start: int, end: int) -> tuple[int, int] | None:
    """Return the first and the last of some tokens that stand for the characters from `start` to `end`.

    Args:
        offsets: Of the tokens, `[tokens, 2]`.
        start: First character.
        end: The one behind the last.

    Returns:
        None where no token stands for any of them.
    """
    touched = np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < end))
    return (int(touched[0]), int(touched[-1])) if touched.size else None


def best_span(
    starts: NDArray[np.float32],
    ends: NDArray[np.float32],
    none: float,
    offsets: NDArray[np.int64],
    text: str,
    most: int,
) -> Chosen:
    """Return the span of a window with the greatest sum of logits, without the blanks around it.

    Args:
        starts: Logits of the first token, of the text's tokens alone, `[tokens]`.
        ends: Logits of the last.
        none: Sum of both at the first position, which stands for "no answer".
        offsets: Characters that the tokens stand for, `[tokens, 2]`.
        text: What they are characters of.
        most: Longest answer, in tokens.
    """
    if not starts.size:
        return Chosen(0, 0, none, none)
    most = min(most, starts.size)
    padded = np.concatenate([ends, np.full(most - 1, -np.inf, ends.dtype)])
    sums = starts[:, None] + np.lib.stride_tricks.sliding_window_view(padded, most)
    first, more = divmod(int(sums.argmax()), most)
    begin, end = int(offsets[first, 0]), int(offsets[first + more, 1])
    inside = text[begin:end]
    begin += len(inside) - len(inside.lstrip())
    return Chosen(begin, begin + len(inside.strip()), float(sums[first, more]), none)


def best_of(found: Iterable[Chosen]) -> Chosen:
    """Return the best span of several windows; a text has no answer where none of its windows has one."""
    chosen = list(found)
    best = max(chosen, key=lambda one: one.score)
    return Chosen(best.start, best.end, best.score, min(one.none for one in chosen))


def is_answered(found: Any, threshold: float | None) -> bool:
    """Tell whether the best span is the answer, rather than that there is none.

    Args:
        found: With `start`, `end`, `score` and `none`.
        threshold: See `Asking`.
    """
    there = bool(found.end > found.start)
    return there and (threshold is None or found.none - found.score <= threshold)
