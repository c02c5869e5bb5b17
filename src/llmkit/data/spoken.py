"""Where the assistant speaks in the text of a conversation, each answer in the context that inference will show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from llmkit.core.errors import DataError
from llmkit.data.borders import Borders, borders_of
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
class Spoken:
    """A conversation as text.

    Attributes:
        text: All of it.
        answers: Those that are learned, in their order.
        num_rewritten: Answers that are only read: the template writes them otherwise once more follows.
        num_altered: Answers of which the template does not write all, or writes something else.
    """

    text: str
    answers: tuple[Answer, ...]
    num_rewritten: int = 0
    num_altered: int = 0


def find_spoken(tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Turns]) -> list[Spoken | DataError]:
    """Return where the assistant's answers lie in each conversation, or why that cannot be told.

    An answer is found by rendering what inference would ask for it, and the conversation as it ends with it: that works
    with any template, whether or not it has `{% generation %}` tags. A turn with which the assistant opens a
    conversation answers nothing and is only context.
    """
    rendered = render_all(tokenizer, conversations)
    asked = [
        (number, i)
        for number, turns in enumerate(conversations)
        for i in range(1, len(turns))
        if is_trained(turns[i]) and isinstance(rendered[number], str) and _is_asked(turns[:i])
    ]
    prompts = render_all(tokenizer, [conversations[number][:i] for number, i in asked], prompt=True)
    inner = [(number, i) for number, i in asked if i + 1 < len(conversations[number])]
    afters = dict(zip(inner, render_all(tokenizer, [conversations[n][: i + 1] for n, i in inner]), strict=True))
    wanted: list[list[tuple[Rendered, Rendered, str]]] = [[] for _ in conversations]
    for (number, i), prompt in zip(asked, prompts, strict=True):
        after = afters.get((number, i), rendered[number])
        wanted[number].append((prompt, after, conversations[number][i]["content"]))
    borders = borders_of(tokenizer) if asked else None
    return [
        _spoken(text, answers, borders) if isinstance(text, str) and borders is not None else _unspoken(text)
        for text, answers in zip(rendered, wanted, strict=True)
    ]


def _is_asked(turns: Turns) -> bool:
    return any(turn["role"] != "system" for turn in turns)


def _unspoken(text: Rendered) -> Spoken | DataError:
    return text if isinstance(text, DataError) else Spoken(text, ())


def _spoken(text: str, answers: Sequence[tuple[Rendered, Rendered, str]], borders: Borders) -> Spoken | DataError:
    placed: list[tuple[Answer, str]] = []
    for prompt, ended, content in answers:
        if isinstance(prompt, DataError) or isinstance(ended, DataError):
            return next(one for one in (prompt, ended) if isinstance(one, DataError))
        after = ended if ended.startswith(prompt) else _led(prompt, ended, content, borders)
        placed.append((_answer(prompt, after, content, borders), after))
    if placed and not placed[-1][1]:
        return DataError(
            "the chat template does not begin an answer with the prompt that asks for it: what is learned"
            " cannot be told",
            hint="give the tokenizer a chat_template that writes the prompt, and then the answer behind it",
        )
    if placed and not text.startswith(placed[-1][1][: placed[-1][0].end]):
        text = placed[-1][1]  # the last answer decides: what follows it is not learned, and may change it
    found = [answer for answer, after in placed if after and text.startswith(after[: answer.end])]
    if found and not borders.ender:
        text = text[: found[-1].end]  # else the last token of the answer could be joined with what follows
    altered = sum(_is_altered(answer, text) for answer in found)
    return Spoken(text, tuple(found), len(placed) - len(found), altered)


def _is_altered(answer: Answer, text: str) -> bool:
    """Tell whether something else is learned than the data has, blanks and marks of thinking aside."""
    learned = "".join(text[answer.start : answer.said_end].split())
    said = split_thinking(answer.content, opened(text[: answer.start]))
    return not all("".join(part.split()) in learned for part in (said.thinking, said.answer))


def _answer(prompt: str, after: str, content: str, borders: Borders) -> Answer:
    """Return where an answer lies in a text that ends with it."""
    start = len(prompt)
    at, said_end = _place(start, prompt, after, content, borders)
    ender = after.find(borders.ender, max(start, said_end)) if borders.ender else -1
    return Answer(start, ender + len(borders.ender) if ender >= 0 else said_end, at, said_end, content)


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


def _led(prompt: str, after: str, content: str, borders: Borders) -> str:
    """Return the text of an answer behind a prompt that says more than the template writes before an answer.

    The more is a thought, empty or begun, as of DeepSeek-R1's prompts: what the data thinks ends one that is begun.
    Nothing is returned where the answer would not follow from the prompt.
    """
    marks = opened(prompt)
    floor = len(_bare(prompt.rstrip().removesuffix(borders.begun)))
    at, end = _place(0, prompt, after, content, borders)
    before = _bare(after[:at])
    if end == at or at < floor or not before or not prompt.startswith(before):
        return ""
    if marks is None:
        return prompt + after[at:]
    said = split_thinking(content, marks)
    return f"{prompt}{said.thinking if said.ended else ''}\n{marks[1]}\n\n{after[at:]}"


def _bare(text: str) -> str:
    """Return a text without the marks of thinking and the blanks at its end."""
    stripped = text.rstrip()
    mark = next((mark for pair in MARKS for mark in pair if stripped.endswith(mark)), None)
    return stripped if mark is None else _bare(stripped.removesuffix(mark))
