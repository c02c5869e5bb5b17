"""Where in a row the question, the choices and the answer are: as the user says, or as well-known sets have them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from string import ascii_uppercase
from typing import Any

from llmkit.core.errors import ConfigError
from llmkit.data.column_names import listed
from llmkit.evaluation.few_shot import Shot
from llmkit.evaluation.prompting import Prompt, missing_column
from llmkit.tasks._choice_values import BadRowError, number_of, parsed, permuted, texts_of

QUESTIONS = ("question", "question_stem", "Question", "query", "goal", "prompt", "input", "inputs", "problem")
CONTEXTS = ("ctx", "context", "sentence", "text")
CHOICES = ("choices", "options", "endings", "mc_endings", "candidates", "answers", "multiple_choice_targets")
ANSWERS = ("answer", "answerKey", "answer_key", "label", "gold", "target", "correct", "correct_answer", "answer_index",
           "answer_idx", "Answer")  # fmt: skip
BLANK = "_"
ASKED = "Question: {{{{ {0} }}}}\nAnswer:"


@dataclass(frozen=True)
class Question:
    """A row, read.

    Attributes:
        text: The prompt; of cloze rows the sentence with its blank.
        choices: Texts, in the order in which they are shown.
        gold: Numbers of the right ones, from 0.
        order: Numbers that the choices have in the row.
    """

    text: str
    choices: tuple[str, ...]
    gold: tuple[int, ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Where things are.

    Attributes:
        prompt: Template of the question, or of the sentence of cloze rows.
        choices: Column or template of all choices, or a column or template for each.
        answer: Column or template of the right one: its number from 0, its letter or label, or its text.
        cloze: The prompt has a blank that choices fill.
        letters: Choices are listed behind the prompt, and their letters are what is answered.
    """

    prompt: str
    choices: str | Sequence[str]
    answer: str
    cloze: bool = False
    letters: bool = False

    @cached_property
    def _prompt(self) -> Prompt:
        return Prompt(self.prompt, "tasks.cloze" if self.cloze else "tasks.prompt")

    @cached_property
    def _choices(self) -> list[Prompt]:
        texts = [self.choices] if isinstance(self.choices, str) else self.choices
        return [Prompt(text, "tasks.choices") for text in texts]

    @cached_property
    def _answer(self) -> Prompt:
        return Prompt(self.answer, "tasks.answer")

    @property
    def shows_choices(self) -> bool:
        """Whether their order is seen: the prompt lists them."""
        return self.letters or bool(self._columns & self._prompt.columns)

    @property
    def can_shuffle(self) -> bool:
        """Whether the prompt would list them in another order: they are columns, not templates."""
        return self.letters or all(not prompt.columns for prompt in self._choices)

    @property
    def _columns(self) -> set[str]:
        """The columns that hold choices."""
        return {name for prompt in self._choices for name in (prompt.columns or {prompt.text})}

    def read(self, fields: Mapping[str, Any], order: Sequence[int] | None = None) -> Question:
        """Read a row.

        Args:
            fields: Its columns.
            order: Show the choices in this order, if any.

        Raises:
            BadRowError: It has no question, no answer, or an empty choice.
            ConfigError: A column is missing.
        """
        if self._prompt.lacks_all(fields):
            raise BadRowError("have no question")
        found, labels = self.options(fields)
        gold = self._gold(fields, found, labels)
        kept = tuple(range(len(found))) if order is None else tuple(order)
        choices = tuple(found[number] for number in kept)
        shown = fields if order is None else self._in_order(fields, kept)
        text = self._prompt.render(shown)
        if self.cloze and text.count(BLANK) != 1:
            raise BadRowError(f"have not one blank '{BLANK}' but {text.count(BLANK)}")
        if self.cloze and not text.partition(BLANK)[2].strip():
            raise BadRowError("have nothing behind the blank that could be scored")
        if self.letters:
            lines = (f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, choices, strict=False))
            text = "\n".join((text, *lines, "Answer:"))
        return Question(text, choices, tuple(kept.index(number) for number in gold), kept)

    def pairs(self, question: Question) -> list[tuple[str, str]]:
        """Return, for each choice, what is read and what is scored behind it.

        Of a cloze sentence that is what follows the blank, behind each choice: the partial scoring of Trinh and Le, A
        Simple Method for Commonsense Reasoning, 2018.
        """
        if self.cloze:
            before, _, behind = question.text.partition(BLANK)
            return [(before + choice, behind.strip()) for choice in question.choices]
        scored = ascii_uppercase if self.letters else question.choices
        return [(question.text, text) for text, _ in zip(scored, question.choices, strict=False)]

    def shot(self, question: Question) -> Shot:
        """Return a question as a solved example."""
        return Shot(*self.pairs(question)[question.gold[0]])

    def options(self, fields: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """Return the choices of a row and their labels, if they have any.

        Raises:
            BadRowError: There are fewer than two, or one is empty.
        """
        labels: list[str] = []
        if isinstance(self.choices, str):
            found, labels = self._listed(fields)
        else:
            found = [prompt.render(fields) for prompt in self._choices]
        if len(found) < 2:
            raise BadRowError("have fewer than two choices")
        if not all(found):
            raise BadRowError("have an empty choice")
        if self.letters and len(found) > len(ascii_uppercase):
            raise BadRowError(f"have more choices than the {len(ascii_uppercase)} letters")
        return found, labels

    def _listed(self, fields: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        (prompt,) = self._choices
        if prompt.columns:
            return texts_of(parsed(prompt.render(fields)))
        if prompt.text not in fields:
            raise missing_column(prompt.field, prompt.text, fields)
        value = fields[prompt.text]
        return texts_of(parsed(value) if isinstance(value, str) else value)

    def _gold(self, fields: Mapping[str, Any], choices: Sequence[str], labels: Sequence[str]) -> list[int]:
        value = self._answer_of(fields)
        values = value if isinstance(value, list) else [value]
        found = [number_of(one, choices, labels) for one in values]
        if not found or None in found:
            raise BadRowError("have an answer that is none of the choices")
        return sorted({number for number in found if number is not None})

    def _answer_of(self, fields: Mapping[str, Any]) -> Any:
        prompt = self._answer
        if prompt.text in fields:
            return fields[prompt.text]
        if not prompt.columns and "{{" not in prompt.text:
            raise missing_column(prompt.field, prompt.text, fields)
        return prompt.render(fields)

    def counts_from_one(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Tell whether answers are numbers from 1: none is 0, and some are as large as the number of choices."""
        largest = False
        for fields in rows:
            try:
                found, labels = self.options(fields)
            except BadRowError:
                continue
            text = str(self._answer_of(fields)).strip()
            if labels or text in found or not (text.isascii() and text.isdigit() and 1 <= int(text) <= len(found)):
                return False
            largest = largest or int(text) == len(found)
        return largest

    def _in_order(self, fields: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
        """Return the columns with the choices in another order."""
        if isinstance(self.choices, str):
            value = fields.get(self.choices)
            return {**fields, self.choices: permuted(value, order)} if self.choices in fields else dict(fields)
        moved = {to: fields[self.choices[number]] for to, number in zip(self.choices, order, strict=True)
                 if self.choices[number] in fields}  # fmt: skip
        return {**fields, **moved}


def infer(columns: Collection[str]) -> Layout | None:
    """Return the layout of well-known columns; None where they are not known."""
    names = set(columns)
    if {"sentence", "option1", "option2", "answer"} <= names:  # WinoGrande counts from 1
        return Layout("{{ sentence }}", ("option1", "option2"), "{{ answer | int - 1 }}", cloze=True)
    if {"goal", "sol1", "sol2"} <= names:
        return Layout(ASKED.format("goal"), ("sol1", "sol2"), _first(ANSWERS, names) or "label")
    if {"question", "correct_answer", "distractor1"} <= names:
        wrong = sorted(name for name in names if name.startswith("distractor"))
        return Layout(ASKED.format("question"), (*wrong, "correct_answer"), f"{{{{ {len(wrong)} }}}}")
    if "multiple_choice_scores" in names:
        return Layout("inputs", "multiple_choice_targets", "{{ multiple_choice_scores.index(1) }}")
    if {"input", "target_scores"} <= names:  # a task of BIG-bench as it is in its repository
        listing, right = "{{ target_scores.keys() | list | tojson }}", "{{ (target_scores.values() | list).index(1) }}"
        return Layout(ASKED.format("input"), listing, right)
    question, context, answer = (_first(known, names) for known in (QUESTIONS, CONTEXTS, ANSWERS))
    choices: str | tuple[str, ...] | None = _first(CHOICES, names)
    if choices is None and {"A", "B"} <= names:
        choices = tuple(letter for letter in ascii_uppercase if letter in names)
    text = ASKED.format(question) if question else context
    return Layout(text, choices, answer) if text and choices and answer else None


def layout_of(
    fields: Mapping[str, Any], given: Mapping[str, Any], *, cloze: str | None, letters: bool, where: str
) -> Layout:
    """Return the layout that a task means.

    Args:
        fields: The first row.
        given: The task's `prompt`, `choices` and `answer` as far as it gives them.
        cloze: Its sentence with a blank, if it is of that kind.
        letters: It lists choices by letters.
        where: What the data are called.

    Raises:
        ConfigError: Something is not given and cannot be told by the columns.
    """
    known = infer(fields)
    given = {name: value for name, value in given.items() if value is not None}
    if cloze is not None:
        given = {**given, "prompt": cloze, "cloze": True}
    missing = [name for name in ("prompt", "choices", "answer") if name not in given]
    if known is None and missing:
        raise ConfigError(
            f"tasks.{missing[0]}: required, since the columns of {where} are of no known layout: {listed(fields)}",
            hint="say where things are: prompt: '{{ COLUMN }}', choices: COLUMN, answer: COLUMN",
        )
    layout = Layout(**given) if known is None else replace(known, **given)
    if "prompt" in given and cloze is None and layout.cloze:
        layout = replace(layout, cloze=False)
    if letters and layout.cloze:
        raise ConfigError("tasks.letters: a sentence with a blank lists no choices", "-s tasks.0.letters=false")
    if letters and "prompt" not in given and layout.prompt.startswith("Question: "):
        layout = replace(layout, prompt=layout.prompt.removeprefix("Question: ").removesuffix("\nAnswer:"))
    return replace(layout, letters=letters)


def _first(known: Sequence[str], names: Collection[str]) -> str | None:
    return next((name for name in known if name in names), None)
