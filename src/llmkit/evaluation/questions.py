"""Questions with their right answers, of labelled rows or of a table and templates over its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llmkit.core.errors import ConfigError
from llmkit.data.chat import Turn, exchange
from llmkit.data.sources import Source
from llmkit.evaluation.exchanges import conversation_kinds
from llmkit.evaluation.prompting import MissingColumnError, Prompt, missing_column
from llmkit.evaluation.reading import Unreadable, read_labelled, read_table

PAIRS = "source_target"


@dataclass(frozen=True)
class Question:
    """What is asked, and what would be right.

    Attributes:
        name: The row's id.
        turns: A conversation whose last turn asks; of anything else one turn. None where the row asks nothing.
        references: Right answers; none where the row has none.
        fields: The columns of the row.
        kind: `conversation`, `source` (a text of which another is to be made) or `prompt` (a template's text).
    """

    name: str
    turns: list[Turn]
    references: list[str]
    fields: Mapping[str, Any]
    kind: Literal["conversation", "source", "prompt"]

    @property
    def text(self) -> str:
        """The last turn."""
        return str(self.turns[-1]["content"])


def labelled_questions(source: Source, columns: Mapping[str, str], unreadable: Unreadable) -> Iterator[Question]:
    """Yield the questions of conversations, or of sources and their targets.

    Raises:
        ConfigError: The rows are of another kind.
    """
    try:
        kind, rows = read_labelled(source, [*conversation_kinds(), PAIRS], columns, unreadable)
    except ConfigError as error:
        raise ConfigError(
            error.message, f"{error.hint + '; ' if error.hint else ''}or write a prompt and an answer over the columns"
        ) from None
    for row in rows:
        if kind.type_name == PAIRS:
            yield Question(row.id, _asked(row.fields["source_text"]), list(row.fields["targets"]), row.fields, "source")
            continue
        before, answer = exchange(kind, row.fields) or ([], None)
        yield Question(row.id, before, [] if answer is None else [answer], row.fields, "conversation")


def table_questions(source: Source, prompt: str, answer: str | None, unreadable: Unreadable) -> Iterator[Question]:
    """Yield the questions that a template makes of rows.

    Args:
        source: The rows.
        prompt: Jinja over the columns, or the name of one.
        answer: The same of the right answer; a column that holds a list has several. None: there is none.
        unreadable: Counts rows that could not be read.

    Raises:
        ConfigError: A column is not there, or the template fails.
    """
    asked, right = Prompt(prompt), None if answer is None else Prompt(answer, "answer")
    for number, row in enumerate(read_table(source, unreadable), 1):
        try:
            references = [] if right is None else references_of(right, row.fields)
            if asked.lacks_all(row.fields):
                unreadable.count += 1
                unreadable.first = unreadable.first or f"row {number:,}: its question is null"
                continue
            text = asked.render(row.fields)
        except MissingColumnError as error:
            if number == 1:
                raise
            unreadable.count += 1
            unreadable.first = unreadable.first or f"row {number:,}: {error.message}"
            continue
        yield Question(row.id, _asked(text), references, row.fields, "prompt")


def references_of(answer: Prompt, fields: Mapping[str, Any]) -> list[str]:
    """Return the right answers of a row: a template's text, or what a column holds, `answers.text` within an object.

    Raises:
        ConfigError: It is no template, and no column has that name.
    """
    if "{{" in answer.text or "{%" in answer.text:
        return [answer.render(fields)]
    found: Any = fields
    for name in [answer.text] if answer.text in fields else answer.text.split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise missing_column(answer.field, answer.text, fields)
        found = found[name]
    several = found if isinstance(found, list | tuple) else [found]
    return [one if isinstance(one, str) else str(one) for one in several if one is not None]


def _asked(text: str) -> list[Turn]:
    return [{"role": "user", "content": text}]
