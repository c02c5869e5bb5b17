"""Generated answers against references: greedy, scored by any metrics of the family (ROUGE and chrF by default)."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.registry import Family
from llmkit.metrics import Metric
from llmkit.metrics.chrf import ChrF
from llmkit.metrics.rouge import Rouge
from llmkit.tasks import Task, TaskResult

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs
    from llmkit.core.progress import Progress
    from llmkit.data.thinking import Said
    from llmkit.evaluation.exchanges import Skipped
    from llmkit.evaluation.model import EvalModel

    Question = tuple[str, list[dict[str, str]], str, list[int]]  # id, turns, reference, prompt

PROMPTS_PER_CALL = 64
PROMPT_END = 64
"""Last tokens of a prompt that are looked at for a thought that it begins."""


class Generation(Task):
    """Let the model answer each row's question and compare with the row's own answer.

    Thinking before an answer is kept apart: it is a sample's `thinking`, and only what follows it is compared.
    Nothing is cut: a question that does not fit into the model's positions, with room for `max_new_tokens`, is skipped
    and counted, as `answers` does.
    """

    metrics: list[Annotated[Metric, Family("metric")]] = Field([Rouge(), ChrF()], min_length=1)
    """How predictions are scored; each is an `evaluate.Metric`."""
    max_new_tokens: int = Field(64, ge=1)
    """Longest answer."""

    def add_input(self, inputs: Inputs) -> Path:
        """Take examples."""
        return inputs.add_artifact(self.data, "examples", role="tasks.data")

    def run(self, model: EvalModel, progress: Progress) -> TaskResult:
        """Return the metrics' scores, and every question, prediction and reference as samples."""
        from llmkit.evaluation.model import ALONE

        rows, skipped = self._questions(model)
        said = self._answered(model, [prompt for *_, prompt in rows], progress)
        predictions = [one.answer.strip() for one in said]
        references = [self._reference(model, answer, prompt) for _, _, answer, prompt in rows]
        samples = [
            {"id": name, "turns": turns, "prediction": prediction, "reference": reference}
            | ({"thinking": one.thinking} if one.thinking else {})
            for (name, turns, *_), prediction, reference, one in zip(rows, predictions, references, said, strict=True)
        ]
        facts = {"skipped": skipped.total, "empty": sum(not text for text in predictions)}
        thought = {
            "thinking": sum(bool(one.thinking) for one in said),
            "unfinished": sum(not one.ended for one in said),
        }
        facts |= thought if any(thought.values()) else {}
        alone = {} if model.writes_in_batches else ALONE
        return TaskResult(self._scores(predictions, references), len(samples), samples, facts | alone, skipped.notes())

    def _questions(self, model: EvalModel) -> tuple[list[Question], Skipped]:
        """Return the questions that fit into the model, and what becomes of the other rows.

        Raises:
            ConfigError: No question could fit.
            DataError: None does.
        """
        from llmkit.data.borders import literal_special
        from llmkit.evaluation.exchanges import FAKES, NO_ANSWER, REFUSED, Skipped, read_exchanges, too_long

        if self.max_new_tokens >= model.max_length:
            raise ConfigError(
                f"tasks.max_new_tokens: {self.max_new_tokens} leaves no room for a prompt in the {model.max_length}"
                " positions of the model"
            )
        rows: list[Question] = []
        skipped, refusal = Skipped(), None
        for name, turns, answer in islice(read_exchanges(self.data), self.limit):
            if not turns or answer is None:
                skipped.add(NO_ANSWER)
                continue
            if model.tokenizer.chat_template and literal_special(model.tokenizer, turns) is not None:
                skipped.add(FAKES)
                continue
            try:
                prompt = self._prompt(model, turns)
            except DataError as error:
                refusal = refusal or error
                skipped.add(REFUSED)
                continue
            if len(prompt) + self.max_new_tokens > model.max_length:
                skipped.add(too_long(model.max_length, self.max_new_tokens))
                continue
            rows.append((name, turns, answer, prompt))
        if not rows and skipped.reasons.keys() == {REFUSED} and refusal is not None:
            raise refusal
        if not rows:
            raise DataError(f"tasks.data: {self.data} has no question to ask: {'; '.join(skipped.notes())}")
        return rows, skipped

    def _answered(self, model: EvalModel, prompts: list[list[int]], progress: Progress) -> list[Said]:
        """Return what the model says to each prompt."""
        from llmkit.data.thinking import decode_said, opened

        said: list[Said] = []
        for start in range(0, len(prompts), PROMPTS_PER_CALL):
            part = prompts[start : start + PROMPTS_PER_CALL]
            for prompt, ids in zip(part, model.generate(part, max_new_tokens=self.max_new_tokens), strict=True):
                said.append(decode_said(model.tokenizer, ids, opened(model.tokenizer.decode(prompt[-PROMPT_END:]))))
            progress.advance(len(part))
        return said

    @staticmethod
    def _reference(model: EvalModel, answer: str, prompt: list[int]) -> str:
        """Return the answer of a row without its thinking."""
        from llmkit.data.thinking import opened, split_thinking

        said = split_thinking(answer, opened(model.tokenizer.decode(prompt[-PROMPT_END:])))
        return said.answer if said.ended else answer

    def _scores(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        scores: dict[str, float] = {}
        for metric in self.metrics:
            found = metric.load().compute(predictions=predictions, references=references)
            if twice := scores.keys() & found.keys():
                raise ConfigError(f"tasks.metrics: two metrics give the score {min(twice)!r}; use two tasks")
            scores |= found
        return scores

    def _prompt(self, model: EvalModel, turns: list[dict[str, str]]) -> list[int]:
        from llmkit.data.rendering import encode_prompt

        if model.tokenizer.chat_template:
            return encode_prompt(model.tokenizer, turns)
        text = "\n".join(turn["content"] for turn in turns) + "\n\n"
        return [model.start, *model.tokenizer(text, add_special_tokens=False)["input_ids"]]
