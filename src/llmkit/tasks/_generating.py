"""What `generation`, `translation` and `summarization` share: questions asked, answers compared by metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.registry import Family
from llmkit.evaluation.asked import positions_of
from llmkit.evaluation.asking import Asking, FakesError, Layout, Put
from llmkit.evaluation.few_shot import Shots
from llmkit.evaluation.questions import Question, labelled_questions, table_questions
from llmkit.evaluation.reading import OTHER_DATA, Unreadable, shown
from llmkit.metrics import Metric
from llmkit.runtimes import Generate, Request, Running, Written
from llmkit.tasks import Measurement, TaskResult
from llmkit.tasks._prompted import PromptedTask

if TYPE_CHECKING:
    from llmkit.data.sources import Source
    from llmkit.data.thinking import Said
    from llmkit.evaluation.measures import Measure


class GeneratingTask(PromptedTask):
    """Let the model answer each row's question, and compare with the row's own answers.

    Questions are those of conversations, of prompts and completions, or of sources and targets; of any other rows
    `prompt` and `answer` make them. Thinking before an answer is kept apart: it is a sample's `thinking`, and only what
    follows it is compared. Nothing is cut: a question that does not fit into the model's positions, with room for
    `max_new_tokens`, is skipped and counted, as `answers` does.
    """

    example: ClassVar[Request] = Generate((0,), 1)

    metrics: list[Annotated[Metric, Family("metric")]] = Field(min_length=1)
    """How predictions are scored; each is an `evaluate.Metric`."""
    max_new_tokens: int = Field(64, ge=1)
    """Longest answer."""
    columns: dict[str, str] = {}
    """Without a prompt, the column of a field of the row where its name differs: `{prompt: question}`."""
    stop: list[str] = []
    """Texts that end an answer, and are no part of it; the model's own end of a text or turn always ends it."""
    extract: str | None = None
    """Regular expression of what is compared of an answer: its first group that matches anything or, without groups,
    the whole match. An answer that it does not match is compared as an empty one, and counted."""
    extract_match: Literal["first", "last"] = "first"
    """Which match, where there are several."""

    @field_validator("extract")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is no regular expression: {error}") from None
        return pattern

    @field_validator("stop")
    @classmethod
    def _stops(cls, stop: list[str]) -> list[str]:
        if "" in stop:
            raise ValueError("an empty text would end every answer at once")
        return stop

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.answer is not None and self.prompt is None:
            raise ValueError("answer: it goes with a prompt; without one rows have answers of their own")
        if self.prompt is not None and self.columns:
            raise ValueError("columns: they name the fields of a row, and a prompt names columns itself")
        if self.prompt is not None and self.answer is None:
            needs = [metric.type_name for metric in self.metrics if metric.needs_references]
            if needs or self.num_shots:
                raise ValueError(f"answer: required, for {needs[0] if needs else 'num_shots'}")
        return self

    def on(self, model: Running) -> Generating:
        """Return the measurement of one model.

        Raises:
            ConfigError: No question could fit.
        """
        return Generating(self, model)

    def layout(self) -> Layout:
        """Return what stands around questions."""
        return Layout(self.description, self.delimiter, self.shot_delimiter, multiturn=self.multiturn)

    def questions(self, source: Source, unreadable: Unreadable) -> Iterator[Question]:
        """Yield the questions of some data."""
        if self.prompt is None:
            return labelled_questions(source, self.columns, unreadable)
        return table_questions(source, self.prompt, self.answer, unreadable)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return the scores of all metrics.

        Raises:
            ConfigError: Two metrics give a score of one name.
        """
        found: dict[str, Measure] = {}
        for metric in self.metrics:
            own = metric.measures_of(samples)
            if twice := found.keys() & own.keys():
                raise ConfigError(
                    f"tasks.metrics: two metrics give the score {min(twice)!r}; use two tasks",
                    "--task one.yaml --task two.yaml, with one of the metrics in each",
                )
            found |= own
        return found


@dataclass(frozen=True)
class _Row:
    question: Question
    put: Put


class Generating(Measurement):
    """The metrics' scores, and every question, answer and reference as samples."""

    def __init__(self, task: GeneratingTask, model: Running) -> None:
        from llmkit.evaluation.exchanges import Skipped

        super().__init__(model)
        self.task, self.tokenizer, self.max_length = task, model.tokenizer, positions_of(model)
        self.asking = Asking(model, task.chat, task.layout())
        self.skipped, self.unreadable = Skipped(), Unreadable()
        self.said: list[Said] = []
        self.unmatched = 0
        self.refusal: DataError | None = None
        self.needs_answers = any(metric.needs_references for metric in task.metrics)
        if task.max_new_tokens >= self.max_length:
            raise ConfigError(
                f"tasks.max_new_tokens: {task.max_new_tokens} leaves no room for a prompt in the {self.max_length}"
                " positions of the model",
                f"-s tasks.0.max_new_tokens={max(1, self.max_length // 4)}",
            )

    def rows(self) -> Iterator[_Row]:
        """Yield the questions that fit into the model."""
        from llmkit.evaluation.exchanges import REFUSED

        count, shots = 0, self._shots()
        for question in islice(self.task.questions(self.task.data, self.unreadable), self.task.limit):
            put = self._put(question, shots)
            if put is not None:
                if not count:  # what cannot be scored, or has one name twice, is found before anything is asked
                    self.task.measures([_stand_in(question)])
                count += 1
                yield _Row(question, put)
        if not count and self.skipped.reasons.keys() == {REFUSED} and self.refusal is not None:
            raise self.refusal
        if not count:
            notes = "; ".join(self.skipped.notes()) or "it is empty"
            raise DataError(f"tasks.data: {shown(self.task.data)} has no question to ask: {notes}", OTHER_DATA)

    def shown(self, row: _Row) -> str:
        """Return the prompt as it is sent."""
        return row.put.text or ""

    def requests(self, row: _Row) -> list[Generate]:
        """Ask for the greedy continuation."""
        return [Generate(row.put.prompt, self.task.max_new_tokens, tuple(self.task.stop))]

    def score(self, row: _Row, answers: Sequence[Written]) -> dict[str, Any]:
        """Tell thinking from the answer, of the model and of the row."""
        from llmkit.data.thinking import split_thinking

        (new,), begun = answers, self.asking.begun(row.put.prompt)
        said = self.asking.said(row.put.prompt, new)
        self.said.append(said)
        own = [split_thinking(text, begun) for text in row.question.references]
        references = [one.answer if one.ended else text for one, text in zip(own, row.question.references, strict=True)]
        sample = {
            "id": row.question.name,
            **({"prompt": row.put.text} if row.put.text is not None else {}),
            **({"turns": row.put.turns} if row.put.turns is not None else {}),
            "output": new.text,
            **({"thinking": said.thinking} if said.thinking else {}),
            "prediction": self._extracted(said.answer.strip()),
            **({"reference": references[0] if len(references) == 1 else references} if references else {}),
            "truncated": not new.ended,
            **({"tokens": len(new.ids)} if new.ids is not None else {}),
        }
        return sample | self._own_scores(sample)

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the metrics' scores."""
        measures = self.task.measures(samples)
        references = [sample.get("reference", "") for sample in samples]
        chosen = {metric.type_name: words for metric in self.task.metrics if (words := metric.chosen(references))}
        counts = {
            "thinking": sum(bool(one.thinking) for one in self.said),
            "unfinished": sum(not one.ended for one in self.said),
            "truncated": sum(sample["truncated"] for sample in samples),
            "unmatched": self.unmatched,
        }
        facts = {
            "prompt": "chat" if self.asking.chats else "plain",
            "skipped": self.skipped.total,
            "empty": sum(not sample["prediction"] for sample in samples),
            **{name: count for name, count in counts.items() if count},
            **({"metrics": chosen} if chosen else {}),
        }
        return TaskResult.of(measures, samples, facts, [*self.skipped.notes(), *self.unreadable.notes()])

    def _shots(self) -> Shots[Question] | None:
        """Return what chooses examples of the rows that have an answer."""
        if not self.task.num_shots:
            return None
        own = self.task.shots_data is None
        source = self.task.data if self.task.shots_data is None else self.task.shots_data
        pool = [one for one in self.task.questions(source, Unreadable()) if one.turns and one.references]
        return Shots(pool, self.task.num_shots, self.task.shots, self.task.seed, shared=own)

    def _put(self, question: Question, shots: Shots[Question] | None) -> Put | None:
        """Return a question as it is sent; None, and why, where it is not."""
        from llmkit.evaluation.exchanges import FAKES, NO_ANSWER, REFUSED, too_long

        if not question.turns or (self.needs_answers and not question.references):
            self.skipped.add(NO_ANSWER)
            return None
        for metric in self.task.metrics:
            if why := metric.unusable(question.references):
                self.skipped.add(why)
                return None
        try:
            put = self.asking.put(question, shots.choose(question) if shots else ())
        except FakesError:
            self.skipped.add(FAKES)
            return None
        except DataError as error:
            self.refusal = self.refusal or error
            self.skipped.add(REFUSED)
            return None
        if self.tokenizer is not None and len(put.prompt) + self.task.max_new_tokens > self.max_length:
            self.skipped.add(too_long(self.max_length, self.task.max_new_tokens))
            return None
        return put

    def _extracted(self, answer: str) -> str:
        if self.task.extract is None:
            return answer
        matches = list(re.finditer(self.task.extract, answer))
        if not matches:
            self.unmatched += 1
            return ""
        match = matches[0 if self.task.extract_match == "first" else -1]
        groups = [group for group in match.groups() if group]
        return (groups[0] if groups else "" if match.re.groups else match[0]).strip()

    def _own_scores(self, sample: dict[str, Any]) -> dict[str, float]:
        """Return a sample's own values of the scores that are means over samples."""
        from llmkit.evaluation.measures import Sums

        own = [metric for metric in self.task.metrics if type(metric).measures is not Metric.measures]
        return {
            name: measure.value
            for metric in own
            for name, measure in metric.measures_of([sample]).items()
            if isinstance(measure, Sums) and measure.is_mean
        }


def _stand_in(question: Question) -> dict[str, Any]:
    """Return a sample of a model that says the reference."""
    right = list(question.references)
    said = right[0] if right else ""
    reference = {"reference": right[0] if len(right) == 1 else right} if right else {}
    return {"output": said, "prediction": said, **reference, "truncated": False, "tokens": 1}
