"""Generated answers against references: greedy, scored by any metrics of the family (ROUGE and chrF by default)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.registry import Family
from llmkit.evaluation.asked import positions_of
from llmkit.evaluation.reading import Unreadable, shown
from llmkit.metrics import Metric
from llmkit.metrics.chrf import ChrF
from llmkit.metrics.rouge import Rouge
from llmkit.runtimes import Generate, Ids, Request, Running, Turns, Written
from llmkit.tasks import DataTask, Measurement, TaskResult

if TYPE_CHECKING:
    from llmkit.data.thinking import Said

PROMPT_END = 64
"""Last tokens of a prompt that are looked at for a thought that it begins."""


class Generation(DataTask):
    """Let the model answer each row's question and compare with the row's own answer.

    Thinking before an answer is kept apart: it is a sample's `thinking`, and only what follows it is compared.
    Nothing is cut: a question that does not fit into the model's positions, with room for `max_new_tokens`, is skipped
    and counted, as `answers` does.
    """

    example: ClassVar[Request] = Generate((0,), 1)

    metrics: list[Annotated[Metric, Family("metric")]] = Field([Rouge(), ChrF()], min_length=1)
    """How predictions are scored; each is an `evaluate.Metric`."""
    max_new_tokens: int = Field(64, ge=1)
    """Longest answer."""

    def on(self, model: Running) -> _Generation:
        """Return the measurement of one model.

        Raises:
            ConfigError: No question could fit.
        """
        return _Generation(self, model)


@dataclass(frozen=True)
class _Row:
    name: str
    turns: list[dict[str, Any]]
    reference: str
    prompt: Ids | Turns


class _Generation(Measurement):
    """The metrics' scores, and every question, prediction and reference as samples."""

    def __init__(self, task: Generation, model: Running) -> None:
        from llmkit.evaluation.exchanges import Skipped
        from llmkit.modeling.tokenizer import special_ids

        super().__init__(model)
        self.task, self.tokenizer, self.max_length = task, model.tokenizer, positions_of(model)
        self.start = None if self.tokenizer is None else special_ids(self.tokenizer).bos
        self.skipped, self.unreadable = Skipped(), Unreadable()
        self.said: list[Said] = []
        if task.max_new_tokens >= self.max_length:
            raise ConfigError(
                f"tasks.max_new_tokens: {task.max_new_tokens} leaves no room for a prompt in the {self.max_length}"
                " positions of the model"
            )

    def rows(self) -> Iterator[_Row]:
        """Yield the questions that fit into the model."""
        from llmkit.data.borders import literal_special
        from llmkit.evaluation.exchanges import FAKES, NO_ANSWER, REFUSED, read_exchanges, too_long

        count, refusal = 0, None
        for name, turns, answer in islice(read_exchanges(self.task.data, self.unreadable), self.task.limit):
            if not turns or answer is None:
                self.skipped.add(NO_ANSWER)
                continue
            chats = self.tokenizer is not None and bool(self.tokenizer.chat_template)
            if chats and literal_special(self.tokenizer, turns) is not None:
                self.skipped.add(FAKES)
                continue
            try:
                prompt = self._prompt(turns)
            except DataError as error:
                refusal = refusal or error
                self.skipped.add(REFUSED)
                continue
            if self.tokenizer is not None and len(prompt) + self.task.max_new_tokens > self.max_length:
                self.skipped.add(too_long(self.max_length, self.task.max_new_tokens))
                continue
            count += 1
            yield _Row(name, turns, answer, prompt)
        if not count and self.skipped.reasons.keys() == {REFUSED} and refusal is not None:
            raise refusal
        if not count:
            notes = "; ".join(self.skipped.notes())
            raise DataError(f"tasks.data: {shown(self.task.data)} has no question to ask: {notes}")

    def requests(self, row: _Row) -> list[Generate]:
        """Ask for the greedy continuation."""
        return [Generate(row.prompt, self.task.max_new_tokens)]

    def score(self, row: _Row, answers: Sequence[Written]) -> dict[str, Any]:
        """Tell thinking from the answer, of the model and of the row."""
        from llmkit.data.thinking import decode_said, split_thinking

        (new,), begun = answers, self._begun(row.prompt)
        if new.ids is None or self.tokenizer is None:
            said = split_thinking(new.text, begun)
        else:
            said = decode_said(self.tokenizer, new.ids, begun)
        self.said.append(said)
        own = split_thinking(row.reference, begun)
        return {
            "id": row.name, "turns": row.turns, "prediction": said.answer.strip(),
            "reference": own.answer if own.ended else row.reference,
        } | ({"thinking": said.thinking} if said.thinking else {})  # fmt: skip

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the metrics' scores."""
        predictions, references = ([sample[side] for sample in samples] for side in ("prediction", "reference"))
        facts = {"skipped": self.skipped.total, "empty": sum(not text for text in predictions)}
        thought = {
            "thinking": sum(bool(one.thinking) for one in self.said),
            "unfinished": sum(not one.ended for one in self.said),
        }
        facts |= thought if any(thought.values()) else {}
        notes = [*self.skipped.notes(), *self.unreadable.notes()]
        return TaskResult(self._scores(predictions, references), len(samples), samples, facts, notes)

    def _scores(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        scores: dict[str, float] = {}
        for metric in self.task.metrics:
            found = metric.load().compute(predictions=predictions, references=references)
            if twice := scores.keys() & found.keys():
                raise ConfigError(f"tasks.metrics: two metrics give the score {min(twice)!r}; use two tasks")
            scores |= found
        return scores

    def _begun(self, prompt: Ids | Turns) -> tuple[str, str] | None:
        """Return the marks of a thought that a prompt begins."""
        from llmkit.data.thinking import opened

        return None if self.tokenizer is None else opened(self.tokenizer.decode(list(prompt[-PROMPT_END:])))

    def _prompt(self, turns: list[dict[str, Any]]) -> Ids | Turns:
        from llmkit.data.rendering import encode_prompt

        if self.tokenizer is None:
            return tuple(turns)
        if self.tokenizer.chat_template:
            return tuple(encode_prompt(self.tokenizer, turns))
        text = "\n".join(turn["content"] for turn in turns)
        if self.model.facts.two_sided:
            return tuple(self.tokenizer(text)["input_ids"])
        text += "\n\n"
        return (self.start, *self.tokenizer(text, add_special_tokens=False)["input_ids"])
