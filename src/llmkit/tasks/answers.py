"""Bits per byte of reference answers: how well a model predicts what the assistant should say, given the question."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from llmkit.core.errors import DataError
from llmkit.evaluation.asked import positions_of, tokenizer_of
from llmkit.evaluation.reading import OTHER_DATA, Unreadable, shown
from llmkit.evaluation.text_score import text_measures, unread_facts
from llmkit.runtimes import Ids, Request, Running, Score
from llmkit.tasks import DataTask, Measurement, TaskResult

if TYPE_CHECKING:
    from llmkit.data.unread import Unread
    from llmkit.evaluation.measures import Measure


class Answers(DataTask):
    """Score the last answer of each conversation, as training teaches it: what the template writes before it is read.

    Only the tokens of the answer itself count, not those of the template, nor thinking that precedes it. A model
    without a chat template has never seen one, so it is asked in plain text, `question`, a blank line, answer.
    Nothing is cut: a row that does not fit into the model's positions is skipped and counted.
    """

    example: ClassVar[Request] = Score((0,), (0,))

    prompt: Literal["auto", "chat", "plain"] = "auto"
    """How the question is put: by the chat template, in plain text, or by the template where the model has one."""

    def chatting(self, chat: Literal["auto", "on", "off"]) -> Self:
        """Return the task with the prompt that `--chat` asks for, where it says nothing itself."""
        if "prompt" in self.model_fields_set:
            return self
        prompts = {"auto": "auto", "on": "chat", "off": "plain"}
        return self.model_copy(update={"prompt": prompts[chat]})

    def on(self, model: Running) -> _Answers:
        """Return the measurement of one model."""
        return _Answers(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return bits_per_byte and token_perplexity."""
        return text_measures(samples)[0]


@dataclass(frozen=True)
class _Row:
    name: str
    context: Ids
    target: Ids
    num_bytes: int
    unread: Unread


class _Answers(Measurement):
    """Bits per byte over all answers, and the perplexity per token."""

    def __init__(self, task: Answers, model: Running) -> None:
        from llmkit.data.rendering import ensure_template
        from llmkit.evaluation.exchanges import Skipped
        from llmkit.modeling.coverage import coverage_of

        super().__init__(model)
        tokenizer = tokenizer_of(model)
        self.task, self.max_length = task, positions_of(model)
        self.chat = task.prompt == "chat" or (task.prompt == "auto" and bool(tokenizer.chat_template))
        self.tokenizer = deepcopy(tokenizer) if self.chat else tokenizer  # the next task asks it the same question
        if self.chat:
            ensure_template(self.tokenizer)
        self.coverage, self.skipped, self.unreadable = coverage_of(tokenizer), Skipped(), Unreadable()

    def rows(self) -> Iterator[_Row]:
        """Yield the answers that can be scored."""
        from llmkit.data.borders import literal_special
        from llmkit.evaluation.exchanges import (
            FAKES,
            NO_ANSWER,
            UNTAUGHT,
            read_conversations,
            scored_answer,
            too_long,
        )

        count = 0
        for name, whole in islice(read_conversations(self.task.data, self.unreadable), self.task.limit):
            *turns, last = whole
            answer = last["content"]
            if not turns or not answer or last["role"] != "assistant":
                self.skipped.add(NO_ANSWER)
                continue
            if literal_special(self.tokenizer, whole) is not None:
                self.skipped.add(FAKES)
                continue
            prefix, targets, said = scored_answer(self.tokenizer, whole) if self.chat else self._plain(turns, answer)
            unread = self.coverage.measure([said])
            if not targets and not unread.total:
                self.skipped.add(NO_ANSWER if not said and not self.chat else UNTAUGHT)
                continue
            if len(prefix) + len(targets) > self.max_length + 1:
                self.skipped.add(too_long(self.max_length))
                continue
            count += 1
            yield _Row(name, tuple(prefix), tuple(targets), len(said.encode()), unread)
        if not count:
            notes = "; ".join(self.skipped.notes())
            raise DataError(f"tasks.data: {shown(self.task.data)} has no answer to score: {notes}", OTHER_DATA)

    def requests(self, row: _Row) -> list[Score]:
        """Ask for the answer behind the question; for nothing where the tokenizer has read none of it."""
        return [Score(row.context, row.target)] if row.target else []

    def score(self, row: _Row, answers: Sequence[float]) -> dict[str, Any]:
        """Return sizes and the log-likelihood."""
        total = math.fsum(answers)
        return {
            "id": row.name, "bytes": row.num_bytes, **unread_facts(row.unread), "tokens": len(row.target),
            "log_likelihood": total,
        }  # fmt: skip

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return bits_per_byte and token_perplexity."""
        measures, notes, shares = text_measures(samples)
        facts = {"prompt": "chat" if self.chat else "plain", "skipped": self.skipped.total, **shares}
        return TaskResult.of(measures, samples, facts, [*self.skipped.notes(), *self.unreadable.notes(), *notes])

    def _plain(self, turns: list[dict[str, Any]], answer: str) -> tuple[list[int], list[int], str]:
        """Return the ids of a question and of its answer, each encoded on its own, and the answer."""
        start = self.tokenizer.bos_token or self.tokenizer.eos_token
        before = start + "\n".join(turn["content"] for turn in turns) + "\n\n"
        prefix, targets = (self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, answer))
        return prefix, targets, answer
