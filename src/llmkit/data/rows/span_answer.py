"""A question and where its answer stands: `{"question": "Who?", "context": "Ann came.", "answers": ["Ann"]}`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from llmkit.data.column_names import quoted
from llmkit.data.rows import Row
from llmkit.data.rows._values import RowError, check_texts, describe, expect, value_of

if TYPE_CHECKING:
    import pyarrow as pa

NEARBY = 64
"""Characters from its `answer_start` within which an answer that stands at several places is looked for."""
IMPOSSIBLE = "is_impossible"
_TRUE = (True, 1, "true", "True", "1")


class SpanAnswer(Row):
    """A question, the text that it is about, and its answers, each of them a part of the text; none if it has none.

    Answers are what SQuAD's files and the hub's have, `[{text, answer_start}]` or `{text: [...], answer_start: [...]}`,
    or texts with a column of their first characters. Without that an answer has to stand in its text just once. No
    answers at all, or `is_impossible`, is a question that the text does not answer.
    """

    text_fields: ClassVar = ("question", "context")
    rank: ClassVar[int] = 1  # a question with its answer is a conversation as well
    aliases: ClassVar = {
        "question": ("question", "query", "query_text"),
        "context": ("context", "passage", "paragraph", "context_text", "article"),
        "answers": ("answers", "answer", "answer_text"),
        "answer_start": ("answer_start", "answer_starts", "start"),
    }
    optional: ClassVar = frozenset({"answer_start"})

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the texts, the answers without blanks around them, and their first characters, as they are given."""
        texts = super().parse(raw)
        column = self.column("answers")
        pairs = _pairs(value_of(raw, column), raw.get(self.column("answer_start")), column)
        if raw.get(IMPOSSIBLE) in _TRUE:
            if pairs:
                raise RowError(f"'{IMPOSSIBLE}' is true, but there is an answer: {quoted(pairs[0][0])}")
        elif pairs is None:
            raise RowError(f"field '{column}' is null")
        answers, starts = [], []
        for place, (text, start) in enumerate(pairs or ()):
            if not text.strip():
                raise RowError(f"{column}.{place} is empty")
            shift = len(text) - len(text.lstrip())
            answers.append(text.strip())
            given = None if start is None else start + shift
            found = find_answer(texts["context"], answers[-1], given)
            starts.append(found if given is None else given)
        return {**texts, "answers": answers, "answer_start": starts}

    def schema(self) -> list[pa.Field]:  # type: ignore[override]
        """Return the columns of the texts and two lists, of answers and of their first characters."""
        import pyarrow as pa

        lists = pa.field("answers", pa.list_(pa.string())), pa.field("answer_start", pa.list_(pa.int64()))
        return [*super().schema(), *lists]

    def texts(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Return question, context and answers: what a step does to a text it does to the answer as well."""
        return {**super().texts(row), **{f"answers.{i}": text for i, text in enumerate(row["answers"])}}

    def with_texts(self, row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the row with other texts and with its answers found again in them.

        Raises:
            RowError: Question or context are empty, or an answer is lost: it does not stand in the text any more, or
                it is not clear where.
        """
        new = {field: texts.get(field, row[field]) for field in self.text_fields}
        check_texts(new)
        found = [
            _moved(row["context"], new["context"], answer, start, texts.get(f"answers.{i}", answer).strip())
            for i, (answer, start) in enumerate(zip(row["answers"], row["answer_start"], strict=True))
        ]
        return {**row, **new, "answers": [text for text, _ in found], "answer_start": [start for _, start in found]}

    def key_text(self, row: Mapping[str, Any]) -> str:
        """Return question and context: its answers are part of the latter."""
        return f"{row['question']}\n{row['context']}"

    def split_text(self, row: Mapping[str, Any]) -> str:
        """Return the context: a model that has seen a text in training has seen the answers to its other questions."""
        context: str = row["context"]
        return context

    def target(self, row: Mapping[str, Any]) -> Any:
        """Return the answers, in order."""
        return sorted(row["answers"])

    def show(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return question and context, and the answers in one line."""
        answers = " | ".join(dict.fromkeys(row["answers"])) or "(no answer)"
        return [*super().texts(row).items(), ("answer", answers)]


def find_answer(context: str, answer: str, start: int | None) -> int:
    """Return the character at which an answer stands in its text.

    Args:
        context: The text.
        answer: The answer, without blanks around it.
        start: Where it is said to stand; None if nothing says so. Files are off by some characters where they count
            bytes, line ends or marks that their texts have lost.

    Raises:
        RowError: It does not stand there, or it is not clear where.
    """
    if start is not None and start >= 0 and context.startswith(answer, start):
        return start
    places = _places(context, answer)
    if not places:
        raise RowError(f"the answer {quoted(answer)} does not stand in the context")
    if len(places) == 1:
        return places[0]
    if start is None:
        raise RowError(f"the answer {quoted(answer)} stands {len(places)} times in the context: which is meant?")
    near = min(places, key=lambda place: abs(place - start))
    if abs(near - start) > NEARBY:
        raise RowError(f"the answer {quoted(answer)} does not stand near character {start:,} of the context")
    return near


def _moved(before: str, after: str, answer: str, start: int, edited: str) -> tuple[str, int]:
    """Return an answer and its place in an edited text; of several alike it is the one it was, by their order."""
    start = find_answer(before, answer, start)
    if before == after:
        return answer, start
    old = _places(before, answer)
    for text in (edited, answer):
        new = _places(after, text) if text else []
        if len(new) == 1 or len(new) == len(old):
            return text, new[old.index(start) if len(new) == len(old) else 0]
    raise RowError(f"the answer {quoted(answer)} is not found in what is left of its context")


def _places(text: str, part: str) -> list[int]:
    places, place = [], text.find(part)
    while place >= 0:
        places.append(place)
        place = text.find(part, place + 1)
    return places


def _pairs(value: Any, starts: Any, column: str) -> list[tuple[str, int | None]] | None:
    """Return the answers with their first characters, as any of the usual layouts has them; None for null."""
    if isinstance(value, str):
        value = _unpacked(value)
    if isinstance(value, dict):
        value, starts = value.get("text"), value.get("answer_start", starts)
    if value is None:
        return None
    if isinstance(value, str):
        value, starts = [value], starts if isinstance(starts, list) else [starts]
    found = []
    for place, item in enumerate(expect(value, list, f"field '{column}'")):
        start = None if starts is None else _item(starts, place, column)
        if isinstance(item, dict):
            text, start = item.get("text"), item.get("answer_start", start)
        else:
            text = item
        found.append((expect(text, str, f"{column}.{place}"), _number(start, f"{column}.{place}")))
    return found


def _unpacked(text: str) -> Any:
    """Return the answers that a table holds as JSON; a text that only looks like that, as `[2019]`, is an answer."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    fits = "text" in value if isinstance(value, dict) else all(isinstance(item, str | dict) for item in value)
    return value if fits else text


def _item(starts: Any, place: int, column: str) -> Any:
    listed: Sequence[Any] = starts if isinstance(starts, list) else [starts]
    if place >= len(listed):
        raise RowError(f"{column}.{place} has no answer_start, of which there are {len(listed)}")
    return listed[place]


def _number(start: Any, what: str) -> int | None:
    """Return a first character; a table may hold it as text or with a fraction of nothing."""
    if start is None or start == "" or (isinstance(start, float) and math.isnan(start)):  # as pandas writes none
        return None
    if isinstance(start, str) and start.strip().lstrip("-").isdecimal():
        return int(start)
    if isinstance(start, bool) or not isinstance(start, int | float) or not float(start).is_integer():
        raise RowError(f"{what}: its answer_start is {describe(start)}, not the number of a character")
    return int(start)
