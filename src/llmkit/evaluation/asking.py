"""How a model is asked: in its chat template or in plain text, behind solved examples; and what of an answer counts."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llmkit.core.errors import ConfigError
from llmkit.evaluation.few_shot import Shot, as_text, as_turns
from llmkit.evaluation.prompting import Prompt
from llmkit.evaluation.questions import Question
from llmkit.runtimes import Ids, Turns

if TYPE_CHECKING:
    from llmkit.data.chat import Turn
    from llmkit.data.thinking import Said
    from llmkit.runtimes import Running, Written

SOURCE = "{source}"
PROMPT_END = 64
"""Last tokens of a prompt that are looked at for a thought that it begins."""
Chat = Literal["auto", "on", "off"]


def asks_in_chat(model: Running, chat: str) -> bool:
    """Return whether a model is asked through its chat template.

    Args:
        model: The model; of one without a tokenizer here the server has the template.
        chat: `on`, `off`, or `auto`: where it has a template.

    Raises:
        ConfigError: What is asked for cannot be.
    """
    if model.tokenizer is None:
        if chat == "off":
            raise ConfigError(
                "tasks.chat: off, but the model's tokenizer is not here: a server is sent turns",
                "-s runtime.type=openai -s runtime.tokenizer=DIR",
            )
        return True
    if chat == "on" and not model.tokenizer.chat_template:
        raise ConfigError("tasks.chat: on, but the model has no chat template", "-s tasks.0.chat=off")
    return chat != "off" and bool(model.tokenizer.chat_template)


class FakesError(Exception):
    """A question holds a token of the chat template: it could fake a turn."""


@dataclass(frozen=True)
class Layout:
    """What stands around questions and solved examples.

    Attributes:
        description: Before everything; the system's turn of a conversation.
        delimiter: In plain text, between a question and its answer.
        between: In plain text, behind each example.
        multiturn: In a chat template each example is two turns; else all is one turn of the user's.
        source: Asks for a text that is to be made of another, `{source}`; None sends that as it stands.
    """

    description: str = ""
    delimiter: str = " "
    between: str = "\n\n"
    multiturn: bool = True
    source: str | None = None


@dataclass(frozen=True)
class Put:
    """A question as a model is sent it.

    Attributes:
        prompt: Ids or, for a server, turns.
        text: The ids as text; None of turns.
        turns: The conversation; None where it was put in plain text.
    """

    prompt: Ids | Turns
    text: str | None
    turns: list[Turn] | None


class Asking:
    """Puts questions to one model.

    Args:
        model: What is asked.
        chat: Use its chat template: always, never, or where it has one.
        layout: What stands around questions.

    Raises:
        ConfigError: A server is to be asked in plain text.
        DataError: A chat template is asked for, and the model has neither one nor the tokens of the default one.
    """

    def __init__(self, model: Running, chat: Chat, layout: Layout) -> None:
        from llmkit.data.rendering import ensure_template
        from llmkit.modeling.tokenizer import special_ids

        self.layout, self.tokenizer, self.two_sided = layout, model.tokenizer, model.facts.two_sided
        self.chats = chat != "off" and (chat == "on" or self.tokenizer is None or bool(self.tokenizer.chat_template))
        if self.tokenizer is None and not self.chats:
            raise ConfigError(
                "tasks.chat: a server is sent conversations: its tokenizer is not here", "chat: auto sends them"
            )
        if self.tokenizer is not None and chat == "on":
            self.tokenizer = deepcopy(self.tokenizer)  # the next task asks it the same question
            ensure_template(self.tokenizer)
        # What the model was trained to be asked with goes before what a task would say of itself.
        self.source = model.facts.asked_by or (None if self.two_sided else layout.source)
        self._described = Prompt(layout.description, "tasks.description")
        self.start = None if self.tokenizer is None else special_ids(self.tokenizer).bos

    def put(self, question: Question, shots: Sequence[Question] = ()) -> Put:
        """Return a question as the model is sent it.

        Raises:
            FakesError: It holds a token that the template writes around turns.
            DataError: The template refuses it.
        """
        solved = [Shot(self._said(shot), shot.references[0]) for shot in shots]
        if not self.chats:
            return self._plain(question, solved)
        between = None if self.layout.multiturn else (self.layout.delimiter, self.layout.between)
        turns = as_turns(self._description(question), solved, self._said(question), text=between)
        if question.kind == "conversation" and (between is None or not solved):
            turns = [*turns[:-1], *question.turns]
        return self._in_chat(turns)

    def put_text(self, text: str) -> Put:
        """Return a text by itself: to be gone on with, behind BOS or read whole by an encoder, or in a chat answered.

        Raises:
            FakesError: It holds a token that the template writes around turns.
            DataError: The template refuses it.
        """
        if self.chats:
            return self._in_chat([{"role": "user", "content": text}])
        return Put(self._encoded(text, begins=True), text, None)

    def said(self, prompt: Ids | Turns, written: Written) -> Said:
        """Return what a model says behind a prompt, apart from what it thinks before."""
        from llmkit.data.thinking import decode_said, split_thinking

        if written.ids is None or self.tokenizer is None:
            return split_thinking(written.text, self.begun(prompt))
        return decode_said(self.tokenizer, written.ids, self.begun(prompt))

    def begun(self, prompt: Ids | Turns) -> tuple[str, str] | None:
        """Return the marks of a thought that a prompt begins."""
        from llmkit.data.thinking import opened

        return None if self.tokenizer is None else opened(self.tokenizer.decode(list(prompt[-PROMPT_END:])))

    def _in_chat(self, turns: list[Turn]) -> Put:
        from llmkit.data.borders import literal_special
        from llmkit.data.rendering import render

        if self.tokenizer is None:
            return Put(tuple(turns), None, turns)
        if literal_special(self.tokenizer, turns) is not None:
            raise FakesError
        text = render(self.tokenizer, turns, prompt=True)
        return Put(tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]), text, turns)

    def _description(self, question: Question) -> str:
        return self._described.render(question.fields)

    def _said(self, question: Question) -> str:
        if question.kind == "source" and self.source is not None:
            return self.source.replace(SOURCE, question.text)
        if question.kind == "conversation":
            return "\n".join(turn["content"] for turn in question.turns)
        return question.text

    def _plain(self, question: Question, shots: Sequence[Shot]) -> Put:
        assert self.tokenizer is not None
        said = self._said(question)
        turns = question.turns if question.kind == "conversation" else None
        if question.kind == "prompt":
            text = as_text(self._description(question), shots, said, self.layout.delimiter, self.layout.between)
        else:
            text = as_text(self._description(question), shots, said, "\n\n", "\n\n")
            text += "" if self.two_sided else "\n\n"
        return Put(self._encoded(text, begins=question.kind != "prompt" or self._begins), text, turns)

    def _encoded(self, text: str, *, begins: bool) -> Ids:
        """Return the ids of a plain text, behind BOS if it begins with that or is empty."""
        assert self.tokenizer is not None
        if self.two_sided:
            return tuple(self.tokenizer(text, verbose=False)["input_ids"])
        ids = tuple(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        return ids if self.start is None or (ids and not begins) else (self.start, *ids)

    @property
    def _begins(self) -> bool:
        """Whether the tokenizer begins a text with BOS by itself."""
        assert self.tokenizer is not None
        return bool(self.tokenizer("a")["input_ids"][:1] == [self.tokenizer.bos_token_id])


def shown_prompt(model: Running, prompt: Ids | Turns) -> str:
    """Return a prompt as text, with the special tokens that are sent."""
    if model.tokenizer is None:
        return "\n".join(str(turn["content"]) for turn in prompt if not isinstance(turn, int))
    return str(model.tokenizer.decode(list(prompt), clean_up_tokenization_spaces=False))
