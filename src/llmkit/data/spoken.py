"""Where the assistant speaks in the text of a conversation, each answer in the context that inference will show it.

Templates may write an answer otherwise once more follows: Qwen3 its empty thought before the last answer only. Then a
conversation has several renderings, each for the answers that stand in it as inference has them. As few as that needs:
the last answer decides, and those whose own context it begins with are learned beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from llmkit.core.errors import DataError
from llmkit.data.borders import Borders, borders_of
from llmkit.data.calls import called
from llmkit.data.chat import is_trained
from llmkit.data.rendering import Turns, render_all
from llmkit.data.thinking import MARKS, opened, split_thinking

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Rendered = str | DataError


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


@dataclass(frozen=True, slots=True)
class View:
    """A rendering of a conversation, or of its beginning, as text.

    Attributes:
        text: All of it.
        answers: Those that are learned in it, in their order.
    """

    text: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Spoken:
    """What the assistant says in a conversation.

    Attributes:
        views: The renderings in which it is learned; one without answers where there are none.
        notes: How many answers are not learned, or not as the data has them, by the reason: `altered`, the template
            does not write all of it or writes something else; `reasoning`, it does not write that; `unprompted`, it
            does not begin the answer with the prompt that asks for it; `unasked`, nothing is asked before it. `tools`
            counts conversations of which the template does not write the tools.
    """

    views: tuple[View, ...]
    notes: Mapping[str, int] = field(default_factory=dict)


class _Asked(NamedTuple):
    """An answer with the prompt that asks for it and the conversation as it ends with it, as the template has them."""

    prompt: Rendered
    ended: Rendered
    turn: Mapping[str, Any]


def find_spoken(tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Turns]) -> list[Spoken | DataError]:
    """Return where the assistant's answers lie in each conversation, or why that cannot be told.

    An answer is found by rendering what inference would ask for it, and the conversation as it ends with it: that works
    with any template, whether or not it has `{% generation %}` tags. A turn with which the assistant opens a
    conversation answers nothing and is only context; so is one that is marked as not trained.
    """
    rendered = render_all(tokenizer, conversations)
    wanted = [[i for i, turn in enumerate(turns) if is_trained(turn)] for turns in conversations]
    asked = [
        (number, i)
        for number, places in enumerate(wanted)
        for i in places
        if isinstance(rendered[number], str) and _is_asked(conversations[number][:i])
    ]
    inner = [(number, i) for number, i in asked if i + 1 < len(conversations[number])]
    prompts = render_all(tokenizer, [conversations[number][:i] for number, i in asked], prompt=True)
    ends = render_all(tokenizer, [conversations[number][: i + 1] for number, i in inner])
    afters = dict(zip(inner, ends, strict=True))
    answers: list[list[_Asked]] = [[] for _ in conversations]
    for (number, i), prompt in zip(asked, prompts, strict=True):
        answers[number].append(_Asked(prompt, afters.get((number, i), rendered[number]), conversations[number][i]))
    borders = borders_of(tokenizer) if asked else None
    found = [_spoken(text, own, borders) for text, own in zip(rendered, answers, strict=True)]
    for number, one in enumerate(found):
        if isinstance(one, Spoken):
            unasked = len(wanted[number]) - len(answers[number])
            found[number] = _noted(one, unasked=unasked, tools=_is_untold(one, conversations[number]))
    return found


def _is_asked(turns: Turns) -> bool:
    return any(turn["role"] != "system" for turn in turns)


def _is_untold(spoken: Spoken, turns: Turns) -> bool:
    """Tell whether the template leaves out what the assistant may call."""
    tools = turns[0].get("tools") if turns else None
    names = [str((tool.get("function") or tool).get("name", "")) for tool in tools or ()]
    return any(name not in view.text for view in spoken.views for name in names)


def _noted(spoken: Spoken, **more: int) -> Spoken:
    counted = {name: int(number) for name, number in more.items() if number}
    return Spoken(spoken.views, {**spoken.notes, **counted}) if counted else spoken


def _spoken(text: Rendered, asked: Sequence[_Asked], borders: Borders | None) -> Spoken | DataError:
    if isinstance(text, DataError):
        return text
    if borders is None or not asked:
        return Spoken((View(text, ()),))
    placed: list[tuple[Answer, str]] = []
    altered = unreasoned = 0
    for prompt, ended, turn in asked:
        if isinstance(prompt, DataError) or isinstance(ended, DataError):
            return next(one for one in (prompt, ended) if isinstance(one, DataError))
        after = ended if ended.startswith(prompt) else _led(prompt, ended, turn, borders)
        if after:
            placed.append((_answer(prompt, after, turn, borders), after))
            altered += _is_altered(placed[-1][0], after, turn)
            unreasoned += _is_unreasoned(after[len(prompt) :], turn.get("reasoning_content"))
    if not after:
        return _unprompted(asked[-1])
    notes = {"altered": altered, "reasoning": unreasoned, "unprompted": len(asked) - len(placed)}
    views = _views(text, placed, borders)
    return Spoken(views, {name: number for name, number in notes.items() if number})


def _unprompted(asked: _Asked) -> DataError:
    turn = asked.turn
    if not (turn["content"].strip() or called(turn)) and opened(str(asked.prompt)):
        return DataError(
            "the last answer is empty, and its prompt has begun a thought: nothing tells where that ends",
            hint="leave such conversations out of the data",
        )
    return DataError(
        "the chat template does not begin an answer with the prompt that asks for it: what is learned cannot be told",
        hint="give the tokenizer a chat_template that writes the prompt, and then the answer behind it",
    )


def _views(text: str, placed: Sequence[tuple[Answer, str]], borders: Borders) -> tuple[View, ...]:
    """Return the fewest renderings in which every answer has its own context before it."""
    views: list[View] = []
    left = list(placed)
    while left:
        last, after = left[-1]
        if views or not text.startswith(after[: last.end]):
            text = after  # what follows the answer is not learned, and may change it
        inside = [one for one in left if text.startswith(one[1][: one[0].end])]
        if not borders.ender:
            text = text[: last.end]  # else the last token of the answer could be joined with what follows
        left = [one for one in left if one not in inside]
        views.append(View(text, tuple(answer for answer, _ in inside)))
    return tuple(reversed(views))


def _is_altered(answer: Answer, text: str, turn: Mapping[str, Any]) -> bool:
    """Tell whether something else is learned than the data has, blanks and marks of thinking aside."""
    learned = _joined(text[answer.start : answer.said_end])
    said = split_thinking(answer.content, opened(text[: answer.start]))
    parts = [said.thinking, said.answer, *(function["name"] for function in called(turn))]
    return not all(_joined(part) in learned for part in parts)


def _is_unreasoned(learned: str, reasoning: str | None) -> bool:
    return bool(reasoning) and _joined(reasoning or "") not in _joined(learned)


def _joined(text: str) -> str:
    """Return a text without its blanks."""
    return "".join(text.split())


def _answer(prompt: str, after: str, turn: Mapping[str, Any], borders: Borders) -> Answer:
    """Return where an answer lies in a text that ends with it."""
    start, content = len(prompt), turn["content"]
    if called(turn):
        ender = borders.call_ender
        place = after.rfind(ender, start) if ender else -1
        said_end = place if place >= 0 else max(start, len(after.rstrip()))
        return Answer(start, said_end + len(ender) if place >= 0 else said_end, start, said_end, content)
    at, said_end = _place(start, prompt, after, content, borders)
    place = after.find(borders.ender, max(start, said_end)) if borders.ender else -1
    return Answer(start, place + len(borders.ender) if place >= 0 else said_end, at, said_end, content)


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


def _led(prompt: str, after: str, turn: Mapping[str, Any], borders: Borders) -> str:
    """Return the text of an answer behind a prompt that says more than the template writes before an answer.

    The more is a thought, empty or begun, as of DeepSeek-R1's prompts: what the data thinks ends one that is begun.
    Nothing is returned where the answer would not follow from the prompt.
    """
    marks, content = opened(prompt), turn["content"]
    asked = prompt.rstrip().removesuffix(borders.begun)
    if called(turn) and not content:
        at = len(asked) if after.startswith(asked) else 0
        is_led = at > 0
    else:
        at, end = _place(0, prompt, after, content, borders)
        before = _bare(after[:at])
        is_led = end > at >= len(_bare(asked)) and bool(before) and prompt.startswith(before)
    if not is_led:
        return ""
    if marks is None:
        return prompt + after[at:]
    said = split_thinking(content, marks)
    thinking = said.thinking if said.ended and said.thinking else turn.get("reasoning_content", "").strip()
    return f"{prompt}{thinking}\n{marks[1]}\n\n{after[at:].lstrip() if called(turn) else after[at:]}"


def _bare(text: str) -> str:
    """Return a text without the marks of thinking and the blanks at its end."""
    stripped = text.rstrip()
    mark = next((mark for pair in MARKS for mark in pair if stripped.endswith(mark)), None)
    return stripped if mark is None else _bare(stripped.removesuffix(mark))
