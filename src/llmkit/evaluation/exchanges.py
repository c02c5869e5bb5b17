"""Questions and answers of an examples artifact, whatever kind of conversation its rows are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmkit.core.errors import DataError
from llmkit.core.registry import Family
from llmkit.data.chat import Turn, exchange, mark_trained, turns
from llmkit.data.rendering import Turns
from llmkit.data.rows import Row
from llmkit.data.sources import Source
from llmkit.data.targets import encode_chats
from llmkit.evaluation.reading import Unreadable, read_labelled

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NO_ANSWER = "do not end with an answer"
FAKES = "hold a token that could fake a turn as text"
REFUSED = "are refused by the chat template"
UNTAUGHT = "are refused by the chat template, or share a token with it: training would not teach them"


def too_long(max_length: int, max_new_tokens: int = 0) -> str:
    """Return the words for a row that does not fit into a model."""
    beside = f" beside {max_new_tokens:,} new tokens" if max_new_tokens else ""
    return f"do not fit into the {max_length:,} positions of the model{beside}"


class Skipped:
    """Counts the rows that are not scored, by the reason."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self._firsts: dict[str, str] = {}

    @property
    def total(self) -> int:
        """All of them."""
        return self.reasons.total()

    def add(self, reason: str, name: str = "") -> None:
        """Count a row; the first one of each reason is named, where it has a name."""
        self.reasons[reason] += 1
        self._firsts.setdefault(reason, name)

    def notes(self) -> list[str]:
        """Say how many there are of each reason."""
        firsts = {reason: f"; the first: {name}" for reason, name in self._firsts.items() if name}
        return [f"{count:,} skipped: they {why}{firsts.get(why, '')}" for why, count in self.reasons.most_common()]


def conversation_kinds() -> list[str]:
    """Return the kinds of rows that are conversations."""
    family = Family("row")
    return [name for name in family.members() if family.load(name).turns is not Row.turns]  # type: ignore[attr-defined]


def read_exchanges(source: Source, unreadable: Unreadable) -> Iterator[tuple[str, list[Turn], str | None]]:
    """Yield each row's id, the turns before its last answer, and that; None where it does not end with an answer.

    Calls of tools are no answer: they are not compared as text.

    Raises:
        ConfigError: The rows are no conversations.
    """
    kind, rows = read_labelled(source, conversation_kinds(), {}, unreadable)
    for row in rows:
        before, answer = exchange(kind, row.fields) or ([], None)
        yield row.id, before, answer


def read_conversations(source: Source, unreadable: Unreadable) -> Iterator[tuple[str, list[Turn]]]:
    """Yield each row's id and its turns.

    Raises:
        ConfigError: The rows are no conversations.
    """
    kind, rows = read_labelled(source, conversation_kinds(), {}, unreadable)
    for row in rows:
        yield row.id, turns(kind, row.fields)


def scored_answer(tokenizer: PreTrainedTokenizerFast, conversation: Turns) -> tuple[list[int], list[int], str]:
    """Return what is read before the last answer of a conversation, its tokens and its text, as training has them.

    What the template writes before an answer is read, and so is its thinking. No tokens are returned of an answer that
    the template refuses, or that shares a token with what is around it: training does not teach it either.
    """
    (made,) = encode_chats(tokenizer, [mark_trained(conversation, "last")], scored=True)
    part = None if isinstance(made, DataError) else made.parts[-1]
    if part is None or not part.answers:
        return [], [], ""
    ids, last = part.ids.tolist(), part.answers[-1]
    return ids[: last.said], ids[last.said : last.said_end], last.content
