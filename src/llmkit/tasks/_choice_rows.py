"""The questions of a multiple-choice task with the examples that stand before each, whatever model is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.column_names import listed
from llmkit.evaluation.few_shot import Shot, Shots
from llmkit.evaluation.prompting import MissingColumnError
from llmkit.evaluation.reading import OTHER_DATA, ROLE, Item, Unreadable, read_table, shown
from llmkit.tasks._choice_layouts import Question, layout_of
from llmkit.tasks._choice_order import bias_words, order_of
from llmkit.tasks._choice_values import BadRowError

LACKING = "lack a column that the first row has"

if TYPE_CHECKING:
    from llmkit.data.sources import Source
    from llmkit.evaluation.exchanges import Skipped
    from llmkit.tasks._choice_layouts import Layout
    from llmkit.tasks.multiple_choice import MultipleChoice

SHUFFLED = "the choices of each row are shuffled, seeded by what is in the row"
UNSEEN = "the prompt does not list the choices, so that their order plays no part"
TEMPLATES = "they cannot be shuffled, since templates make them: letters: true lists and shuffles them"


def first_layout(task: MultipleChoice) -> Layout:
    """Return where things are, by the first row, which is read and rendered to find out whether it can be.

    Raises:
        ConfigError: A column is missing, or it cannot be told what is where.
        DataError: There is no row.
    """
    first = next(read_table(task.data, Unreadable()), None)
    if first is None:
        raise DataError(f"tasks.data: {shown(task.data)} has no rows", OTHER_DATA)
    return layout_by(task, first)


def layout_by(task: MultipleChoice, first: Item) -> Layout:
    """Return where things are, by the first row."""
    given = {"prompt": task.prompt, "choices": task.choices, "answer": task.answer}
    where = shown(task.data)
    layout = layout_of(first.fields, given, cloze=task.cloze, letters=task.letters, where=where)
    with suppress(BadRowError):  # counted with the others
        layout.read(first.fields)
    return layout


@dataclass(frozen=True)
class Posed:
    """A row that can be asked about.

    Attributes:
        name: What it is called where it is skipped: `row 3`.
        item: The row.
        question: What it asks.
        shots: The examples that stand before it.
    """

    name: str
    item: Item
    question: Question
    shots: list[Shot]


class ChoiceRows:
    """Reads the data of a task.

    Args:
        task: The task.
        skipped: Counts rows that cannot be asked about.
        unreadable: Counts rows that cannot be read.

    Attributes:
        layout: Where things are.
        shuffled: The choices are shown in another order than that of the rows.
        notes: Sentences on the order of the choices.
    """

    def __init__(self, task: MultipleChoice, skipped: Skipped, unreadable: Unreadable) -> None:
        self.task, self.skipped = task, skipped
        self.items = list(read_table(task.data, unreadable))
        if not self.items:
            raise DataError(f"tasks.data: {shown(task.data)} has no rows", OTHER_DATA)
        self.layout = layout_by(task, self.items[0])
        self._check_numbers()
        self.shuffled, self.notes = self._decide()
        own = task.shots_data is None
        pool = self.items if task.shots_data is None else self._pool(task.shots_data, unreadable)
        solved = [item for item in pool if self._read(item) is not None] if task.num_shots else []
        if pool and task.num_shots and not solved and task.shots_data is not None:
            columns = listed(pool[0].fields)
            raise DataError(
                f"tasks.shots_data: {shown(task.shots_data)} has no question as those of the data are; its columns are"
                f" {columns}",
                "-s tasks.0.shots_data=PATH names a file with the columns of the data; null: those of the data",
            )
        self._shots = Shots([item.fields for item in solved], task.num_shots, task.shots, task.seed, shared=own)

    def __iter__(self) -> Iterator[Posed]:
        """Yield the rows that can be asked about."""
        for number, item in enumerate(self.items[: self.task.limit], 1):
            chosen = self._shots.choose(item.fields)  # also for rows that are skipped: the draws go on
            try:
                question = self._question(item.fields)
            except BadRowError as error:
                self.skipped.add(str(error), f"row {number:,}")
                continue
            except MissingColumnError:  # the first row has it
                self.skipped.add(LACKING, f"row {number:,}")
                continue
            shots = [self.layout.shot(self._question(fields)) for fields in chosen]
            yield Posed(f"row {number:,}", item, question, shots)

    def _pool(self, source: Source, unreadable: Unreadable) -> list[Item]:
        """Return the rows that examples are of."""
        try:
            return list(read_table(source, unreadable))
        except DataError as error:
            hint = "-s tasks.0.shots_data=PATH names a file that has some; null: those of the data"
            raise DataError(
                error.message.replace(ROLE, "tasks.shots_data", 1), hint if error.hint == OTHER_DATA else error.hint
            ) from None

    def _question(self, fields: dict[str, object]) -> Question:
        if not self.shuffled:
            return self.layout.read(fields)
        return self.layout.read(fields, order_of(fields, len(self.layout.options(fields)[0])))

    def _read(self, item: Item) -> Question | None:
        """Return a row in its own order; None of one that cannot be asked about."""
        try:
            return self.layout.read(item.fields)
        except (BadRowError, MissingColumnError):
            return None

    def _check_numbers(self) -> None:
        if self.layout.counts_from_one(item.fields for item in self.items):
            raise ConfigError(
                "tasks.answer: no answer is 0, and some are as large as the number of choices: they count from 1",
                hint=f"answer: '{{{{ {self.layout.answer} | int - 1 }}}}' makes them count from 0",
            )

    def _decide(self) -> tuple[bool, list[str]]:
        """Return whether to shuffle, and what to say of it."""
        layout, asked = self.layout, self.task.shuffle
        if asked == "on" and not layout.can_shuffle:
            raise ConfigError(
                f"tasks.shuffle: {TEMPLATES.removeprefix('they ').replace('they', 'choices')}",
                "-s tasks.0.letters=true",
            )
        if asked == "on":
            return True, [SHUFFLED]
        found = [question for question in map(self._read, self.items) if question is not None]
        words = bias_words([(question.gold[0], len(question.choices)) for question in found])
        if not words:
            return False, []
        if not layout.shows_choices:
            return False, [f"{words}; {UNSEEN}"]
        if asked == "off":
            return False, [f"{words}, and the prompt lists the choices: a model may answer by the place alone"]
        return layout.can_shuffle, [f"{words}: {SHUFFLED if layout.can_shuffle else TEMPLATES}"]
