"""Solved examples before a question: which ones, and how they are put, as text or as turns of a conversation.

Both are those of lm-evaluation-harness 0.4.13, so that the same rows give the same prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from llmkit.core.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.errors import DataError

T = TypeVar("T")
MARK = "blue"
"""Stands for an answer; any word would do."""


@dataclass(frozen=True)
class Shot:
    """A solved example."""

    question: str
    answer: str


class Shots(Generic[T]):
    """Chooses examples for one question after the other; what it draws depends on how many it has drawn before.

    Args:
        pool: What to choose from.
        count: How many for each question.
        how: `first`, the same ones for all, or `drawn` for each question anew.
        seed: Of the draws.
        shared: The questions are among the pool: none is its own example, nor is one that equals it.
    """

    def __init__(self, pool: Sequence[T], count: int, how: Literal["first", "drawn"], seed: int, *, shared: bool):
        self.pool, self.count, self.how, self.shared = pool, count, how, shared
        self._random = Random(seed)  # noqa: S311 - a draw, not a secret
        if count and count + shared > len(pool):
            others = " beside the question itself" if shared else ""
            raise ConfigError(f"tasks.num_shots: {count} examples are asked for, and the data have "
                              f"{len(pool) - shared:,}{others}",
                              f"-s tasks.0.num_shots={max(0, len(pool) - shared)}, or -s tasks.0.shots_data=PATH, with"
                              " more rows")  # fmt: skip

    def choose(self, question: T) -> list[T]:
        """Return the examples for the next question."""
        if not self.count:
            return []
        if self.how == "first":
            return list(islice((one for one in self.pool if not self.shared or one != question), self.count))
        drawn = self._random.sample(self.pool, self.count + self.shared)
        found = [one for one in drawn if not self.shared or one != question][: self.count]
        if len(found) < self.count:  # rows that equal the question were drawn as well
            others = [one for one in self.pool if one != question]
            found = self._random.sample(others, self.count)
        return found


def as_text(description: str, shots: Sequence[Shot], question: str, delimiter: str, between: str) -> str:
    """Return a prompt as text.

    Args:
        description: What stands before everything.
        shots: The examples.
        question: The question.
        delimiter: Between a question and its answer.
        between: Behind each example.
    """
    solved = "".join(shot.question + delimiter + shot.answer + between for shot in shots)
    return description + solved + question


def as_turns(
    description: str, shots: Sequence[Shot], question: str, *, text: tuple[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return a prompt as a conversation.

    Args:
        description: The system's turn, if any.
        shots: The examples, each a turn of the user's and one of the assistant's.
        question: The last turn.
        text: Put all of it into one turn of the user's, with these delimiters.
    """
    first = [{"role": "system", "content": description}] if description else []
    if text is not None:
        return [*first, {"role": "user", "content": as_text("", shots, question, *text)}]
    for shot in shots:
        first += [{"role": "user", "content": shot.question}, {"role": "assistant", "content": shot.answer}]
    return [*first, {"role": "user", "content": question}]


class Spoken:
    """Renders conversations up to where the model is to speak.

    Qwen3 begins an answer with an empty thought that its generation prompt does not have, Llama 2 with a space: where
    an answer is given, what the model was trained to answer behind is read, not left out.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self._between: str | None = None

    def contexts(
        self, conversations: Sequence[list[dict[str, Any]]], *, answered: bool = True
    ) -> list[str | DataError]:
        """Return the text of each conversation, or why the template refuses it.

        Args:
            conversations: Turns.
            answered: End where an answer begins, not where the model is to write one.
        """
        from llmkit.core.errors import DataError
        from llmkit.data.rendering import render_all

        found: list[str | DataError] = []
        prompts = render_all(self.tokenizer, conversations, prompt=True)
        if not answered:
            return prompts
        for turns, prompt in zip(conversations, prompts, strict=True):
            if isinstance(prompt, DataError):
                found.append(prompt)
                continue
            if self._between is None:
                self._between = self._behind(prompt, turns)
            found.append(prompt + self._between)
        return found

    def _behind(self, prompt: str, turns: list[dict[str, Any]]) -> str:
        from llmkit.core.errors import DataError
        from llmkit.data.rendering import render_all

        (whole,) = render_all(self.tokenizer, [[*turns, {"role": "assistant", "content": MARK}]])
        if isinstance(whole, DataError) or not whole.startswith(prompt):
            return ""
        between, mark, _ = whole[len(prompt) :].partition(MARK)
        return between if mark else ""
