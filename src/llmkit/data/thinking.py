"""Thinking before an answer: `<think>Let me see.</think>Paris` is the answer `Paris`, and how it was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
"""What stands before and behind thinking: DeepSeek-R1, Qwen3 and many others, then those of single families."""

_BEGINS = tuple(first for first, _ in MARKS)
_LONGEST = 64
"""Characters at the end of a prompt that are looked at: a mark and blanks."""


class Said(NamedTuple):
    """What a model says.

    Attributes:
        thinking: What it thinks before, without its marks and blanks around it; empty for none.
        answer: What comes behind, as it is.
        ended: The thinking came to an end; an answer that thinking was to precede is empty where it did not.
    """

    thinking: str
    answer: str
    ended: bool = True


def opened(prompt: str) -> tuple[str, str] | None:
    """Return the marks of the thinking that a prompt begins at its very end, if it does."""
    stripped = prompt[-_LONGEST:].rstrip()
    if not stripped.endswith(_BEGINS):  # most do not, and this is asked of every answer
        return None
    return next((marks for marks in MARKS if stripped.endswith(marks[0])), None)


def split_thinking(text: str, begun: tuple[str, str] | None = None) -> Said:
    """Tell thinking from the answer that follows it.

    Args:
        text: What was said.
        begun: The marks of thinking that the prompt has begun.
    """
    start = text.lstrip()
    if begun is None and not start.startswith(_BEGINS):
        return Said("", text)
    for first, last in MARKS if begun is None else (begun,):
        if begun is None and not start.startswith(first):
            continue
        thinking, mark, answer = start.removeprefix(first).partition(last)
        return Said(thinking.strip(), answer.lstrip() if mark else "", ended=bool(mark))
    return Said("", text)


def decode_said(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int], begun: tuple[str, str] | None = None) -> Said:
    """Return what generated ids say, without special tokens; marks of thinking may be such."""
    marks = {mark for pair in MARKS for mark in pair}
    known = {i: token.content for i, token in tokenizer.added_tokens_decoder.items() if token.content in marks}
    pieces: list[str] = []
    start = 0
    for place, i in enumerate([*ids, None]):
        if i is None or i in known:
            pieces.append(tokenizer.decode(list(ids[start:place]), skip_special_tokens=True))
            pieces.append(known[i] if i is not None else "")
            start = place + 1
    return split_thinking("".join(pieces), begun)
