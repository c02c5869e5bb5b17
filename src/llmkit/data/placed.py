"""Where an answer lies in a text: behind the prompt that asks for it, up to the token that ends its turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from llmkit.data.borders import Borders
from llmkit.data.calls import called
from llmkit.data.thinking import MARKS, opened, split_thinking

_BEGINS = tuple(first for first, _ in MARKS)


class Answer(NamedTuple):
    """One answer, as places in the text of its conversation, in characters.

    Attributes:
        start: Where the prompt ends, as inference renders it.
        end: Behind the last character that is learned: behind the token that ends the turn, if the template writes one.
        said: Where the answer itself begins, behind what the template writes before it and behind its thinking.
        said_end: Where it ends.
        content: The whole message.
    """

    start: int
    end: int
    said: int
    said_end: int
    content: str


def answer_in(prompt: str, after: str, turn: Mapping[str, Any], borders: Borders) -> Answer:
    """Return where an answer lies in a text that ends with it.

    Args:
        prompt: What asks for it.
        after: The prompt, and the answer behind it.
        turn: The answer.
        borders: What the template writes around answers.
    """
    start, content = len(prompt), turn["content"]
    if called(turn):
        ender = borders.call_ender
        place = after.rfind(ender, start) if ender else -1
        said_end = place if place >= 0 else max(start, len(after.rstrip()))
        return Answer(start, said_end + len(ender) if place >= 0 else said_end, start, said_end, content)
    at, said_end = _place(start, prompt, after, content, borders)
    place = after.find(borders.ender, max(start, said_end)) if borders.ender else -1
    return Answer(start, place + len(borders.ender) if place >= 0 else said_end, at, said_end, content)


def text_behind(prompt: str, ended: str, turn: Mapping[str, Any], borders: Borders) -> str:
    """Return a prompt with its answer behind it, as the template writes that; empty where it would not follow.

    Most templates begin the conversation that ends with an answer with the prompt that asks for it. Others have more at
    the end of a prompt, such as a thought that is empty or begun (DeepSeek-R1): what the data thinks ends one that is
    begun. And others write what comes before otherwise, once the answer is there (Mistral its system).

    Args:
        prompt: What asks for the answer.
        ended: The conversation as the template writes it where it ends with the answer.
        turn: The answer.
        borders: What the template writes around answers.
    """
    if ended.startswith(prompt):
        return ended
    at = _begun(prompt, ended, turn, borders)
    if at is None:
        at = _moved(prompt, ended, turn, borders)
        return "" if at is None else prompt + ended[at:]
    marks = opened(prompt)
    if marks is None:
        return prompt + ended[at:]
    said = split_thinking(turn["content"], marks)
    thinking = said.thinking if said.ended and said.thinking else turn.get("reasoning_content", "").strip()
    closed = ended[len(_asked(prompt, borders)) : at]
    closing = closed if closed.strip() == marks[1] else f"\n{marks[1]}\n\n"
    return f"{prompt}{thinking}{closing}{ended[at:]}"


def _begun(prompt: str, ended: str, turn: Mapping[str, Any], borders: Borders) -> int | None:
    """Return where the answer itself begins, behind a prompt that says more than the template has before it."""
    asked = _asked(prompt, borders)
    at, end = _place(0, prompt, ended, turn["content"], borders)
    before = _bare(ended[:at])
    if end > at >= len(_bare(asked)) and before and prompt.startswith(before):
        return at
    rest = ended[len(asked) :].lstrip()
    rest = next((rest.removeprefix(last) for _, last in MARKS if rest.startswith(last)), rest).lstrip()
    is_begun = borders.begun.startswith(_BEGINS) and asked != prompt.rstrip() and ended.startswith(asked)
    is_said = bool(turn["content"].strip() or called(turn)) and not rest.startswith(_BEGINS)
    return len(ended) - len(rest) if is_begun and is_said and rest else None


def _asked(prompt: str, borders: Borders) -> str:
    """Return a prompt without what it has more than the template writes before an answer."""
    return prompt.rstrip().removesuffix(borders.begun)


def _moved(prompt: str, ended: str, turn: Mapping[str, Any], borders: Borders) -> int | None:
    """Return where the answer begins in a text that has something else before its question.

    What stands right before it must be what the template writes between any question and its answer.
    """
    if not borders.asks or borders.lead is None or not prompt.endswith(borders.asks):
        return None
    at, end = _place(0, prompt, ended, turn["content"], borders)
    start = ended.rfind(borders.asks, 0, None if called(turn) else at) + len(borders.asks)
    is_whole = called(turn) or (end > at and start + len(borders.lead) == at)
    return start if start >= len(borders.asks) and is_whole else None


def _place(start: int, prompt: str, after: str, content: str, borders: Borders) -> tuple[int, int]:
    """Return where what is said begins and ends, in a text that ends with it; all but what is around it if unknown."""
    own = len(after) - len(borders.tail) if after.endswith(borders.tail) else after.rfind(borders.ender, start)
    own = len(after.rstrip()) if own < 0 else own
    own = max(start, own)
    thought = split_thinking(content, opened(prompt))
    said = thought.answer if thought.ended else content
    for text in (said, said.strip()):
        if text and (place := after.rfind(text, start, own)) >= 0:
            return place, place + len(text)
    return min(start, own), own


def _bare(text: str) -> str:
    """Return a text without the marks of thinking and the blanks at its end."""
    stripped = text.rstrip()
    mark = next((mark for pair in MARKS for mark in pair if stripped.endswith(mark)), None)
    return stripped if mark is None else _bare(stripped.removesuffix(mark))
