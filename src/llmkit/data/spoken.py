"""Where the assistant speaks in the text of a conversation, each answer in the context that inference will show it.

Templates may write an answer otherwise once more follows: Qwen3 its empty thought before the last answer only. Then a
conversation has several renderings, each for the answers that stand in it as inference has them. As few as that needs:
the last answer decides, and those whose own context it begins with are learned beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from llmkit.core.errors import DataError
from llmkit.data.borders import Borders, borders_of
from llmkit.data.calls import called
from llmkit.data.chat import is_trained
from llmkit.data.placed import Answer, answer_in, text_behind
from llmkit.data.rendering import Turns, render_all
from llmkit.data.thinking import opened, split_thinking

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Rendered = str | DataError


class View(NamedTuple):
    """A rendering of a conversation, or of its beginning, as text.

    Attributes:
        text: All of it.
        answers: Those that are learned in it, in their order.
    """

    text: str
    answers: tuple[Answer, ...]


class Spoken(NamedTuple):
    """What the assistant says in a conversation.

    Attributes:
        views: The renderings in which it is learned; one without answers where there are none.
        notes: How many answers are not learned, or not as the data has them, by the reason: `altered`, the template
            does not write all of it or writes something else; `reasoning`, it does not write that; `unprompted`, it
            does not begin the answer with the prompt that asks for it; `unasked`, nothing is asked before it. `tools`
            counts conversations of which the template does not write the tools.
    """

    views: tuple[View, ...]
    notes: Mapping[str, int] = MappingProxyType({})


class _Asked(NamedTuple):
    """An answer, the prompt that asks for it, and the prompt with the answer behind it: empty if that does not follow.

    `is_bare` tells that its thinking was left out.
    """

    prompt: Rendered
    after: Rendered
    turn: dict[str, Any]
    is_bare: bool = False


def find_spoken(tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Turns]) -> list[Spoken | DataError]:
    """Return where the assistant's answers lie in each conversation, or why that cannot be told.

    An answer is found by rendering what inference would ask for it, and the conversation as it ends with it: that works
    with any template, whether or not it has `{% generation %}` tags. A turn with which the assistant opens a
    conversation answers nothing and is only context; so is one that is marked as not trained.
    """
    rendered = render_all(tokenizer, conversations)
    said = [[i for i, turn in enumerate(turns) if turn["role"] == "assistant"] for turns in conversations]
    wanted = [[i for i in own if is_trained(turns[i])] for own, turns in zip(said, conversations, strict=True)]
    places = [
        (number, i)
        for number, own in enumerate(wanted)
        for i in own
        if isinstance(rendered[number], str) and _is_asked(conversations[number][:i])
    ]
    borders = borders_of(tokenizer) if places else None
    answers: list[list[_Asked]] = [[] for _ in conversations]
    if borders is not None:
        for (number, _), asked in zip(places, _asked(tokenizer, conversations, places, rendered, borders), strict=True):
            answers[number].append(asked)
    found = [_spoken(text, own, borders) for text, own in zip(rendered, answers, strict=True)]
    untold = _untold(tokenizer, conversations, rendered)
    for number, one in enumerate(found):
        if isinstance(one, Spoken):
            unasked = len(wanted[number]) - len(answers[number])
            found[number] = _noted(one, unasked=unasked, tools=number in untold)
    return found


def _asked(
    tokenizer: PreTrainedTokenizerFast,
    conversations: Sequence[Turns],
    places: Sequence[tuple[int, int]],
    rendered: Sequence[Rendered],
    borders: Borders,
) -> list[_Asked]:
    """Render the answers at some places; one whose thinking does not follow from its prompt, without that."""
    inner = [(number, i) for number, i in places if i + 1 < len(conversations[number])]
    prompts = render_all(tokenizer, [conversations[number][:i] for number, i in places], prompt=True)
    ends = dict(zip(inner, render_all(tokenizer, [conversations[n][: i + 1] for n, i in inner]), strict=True))
    found = [
        _behind(prompt, ends.get((number, i), rendered[number]), conversations[number][i], borders)
        for (number, i), prompt in zip(places, prompts, strict=True)
    ]
    bare = {k: turn for k, one in enumerate(found) if one.after == "" and (turn := _without_thinking(one)) is not None}
    again = render_all(tokenizer, [[*conversations[places[k][0]][: places[k][1]], turn] for k, turn in bare.items()])
    for (k, turn), ended in zip(bare.items(), again, strict=True):
        one = _behind(found[k].prompt, ended, turn, borders)
        if isinstance(one.after, str) and one.after:
            found[k] = one._replace(is_bare=True)
    return found


def _behind(prompt: Rendered, ended: Rendered, turn: dict[str, Any], borders: Borders) -> _Asked:
    if isinstance(prompt, str) and isinstance(ended, str):
        return _Asked(prompt, text_behind(prompt, ended, turn, borders), turn)
    return _Asked(prompt, ended, turn)


def _without_thinking(asked: _Asked) -> dict[str, Any] | None:
    """Return an answer without what is thought before it; None where nothing is."""
    said = split_thinking(asked.turn["content"])
    if not (said.thinking or asked.turn.get("reasoning_content")):
        return None
    kept = {name: part for name, part in asked.turn.items() if name != "reasoning_content"}
    return {**kept, "content": said.answer}


def _is_asked(turns: Turns) -> bool:
    return any(turn["role"] != "system" for turn in turns)


def _untold(
    tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Turns], rendered: Sequence[Rendered]
) -> set[int]:
    """Return the numbers of conversations with tools that the template writes as if they had none."""
    offers = [number for number, turns in enumerate(conversations) if turns and turns[0].get("tools")]
    without = [[{**turns[0], "tools": None}, *turns[1:]] for turns in (conversations[number] for number in offers)]
    texts = render_all(tokenizer, without)
    return {number for number, text in zip(offers, texts, strict=True) if text == rendered[number]}


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
    for prompt, after, turn, is_bare in asked:
        if isinstance(prompt, DataError) or isinstance(after, DataError):
            return next(one for one in (prompt, after) if isinstance(one, DataError))
        if after:
            answer = answer_in(prompt, after, turn, borders)
            placed.append((answer, after))
            altered += _is_altered(answer, after, turn)
            reasoning = turn.get("reasoning_content")
            unreasoned += is_bare or (bool(reasoning) and _joined(reasoning) not in _joined(after[answer.start :]))
    if not placed:
        return _unprompted(asked[-1])
    views = _views(text, placed, borders)
    return _noted(Spoken(views), altered=altered, reasoning=unreasoned, unprompted=len(asked) - len(placed))


def _unprompted(asked: _Asked) -> DataError:
    turn = asked.turn
    if not (turn["content"].strip() or called(turn)) and opened(str(asked.prompt)):
        return DataError(
            "the answer is empty, and its prompt has begun a thought: nothing tells where that ends",
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


def _joined(text: str) -> str:
    """Return a text without its blanks."""
    return "".join(text.split())
