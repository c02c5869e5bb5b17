"""Bits per byte of reference answers: how well a model predicts what the assistant should say, given the question."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmkit.core.errors import DataError
from llmkit.tasks import Task, TaskResult

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs
    from llmkit.core.progress import Progress
    from llmkit.evaluation.model import EvalModel


class Answers(Task):
    """Score the last answer of each conversation, as training teaches it: what the template writes before it is read.

    Only the tokens of the answer itself count, not those of the template, nor thinking that precedes it. A model
    without a chat template has never seen one, so it is asked in plain text, `question`, a blank line, answer.
    Nothing is cut: a row that does not fit into the model's positions is skipped and counted.
    """

    prompt: Literal["auto", "chat", "plain"] = "auto"
    """How the question is put: by the chat template, in plain text, or by the template where the model has one."""

    def add_input(self, inputs: Inputs) -> Path:
        """Take examples."""
        return inputs.add_artifact(self.data, "examples", role="tasks.data")

    def run(self, model: EvalModel, progress: Progress) -> TaskResult:
        """Return bits_per_byte over all answers, and the perplexity per token."""
        from copy import deepcopy

        from llmkit.data.borders import literal_special
        from llmkit.data.rendering import ensure_template
        from llmkit.evaluation.exchanges import (
            FAKES,
            NO_ANSWER,
            UNTAUGHT,
            Skipped,
            read_exchanges,
            scored_answer,
            too_long,
        )
        from llmkit.evaluation.model import ALONE
        from llmkit.evaluation.text_score import TextScore

        chat = self.prompt == "chat" or (self.prompt == "auto" and bool(model.tokenizer.chat_template))
        tokenizer = deepcopy(model.tokenizer) if chat else model.tokenizer  # the next task asks it the same question
        if chat:
            ensure_template(tokenizer)
        requests = []
        samples: list[dict[str, Any]] = []
        skipped, found = Skipped(), TextScore()
        for name, turns, answer in islice(read_exchanges(self.data), self.limit):
            whole = [*turns, {"role": "assistant", "content": answer or ""}]
            if not turns or not answer:
                skipped.add(NO_ANSWER)
                continue
            if literal_special(tokenizer, whole) is not None:
                skipped.add(FAKES)
                continue
            prefix, targets, said = scored_answer(tokenizer, whole) if chat else self._plain(model, turns, answer)
            unread = model.coverage.measure([said])
            if not targets and not unread.total:
                skipped.add(NO_ANSWER if not said and not chat else UNTAUGHT)
                continue
            if len(prefix) + len(targets) > model.max_length + 1:
                skipped.add(too_long(model.max_length))
                continue
            requests.append((prefix, targets))
            found.add(0.0, len(said.encode()), len(targets), unread)
            samples.append(
                {"id": name, "bytes": len(said.encode()), "unread_bytes": unread.total, "tokens": len(targets)}
            )
        if not requests:
            raise DataError(f"tasks.data: {self.data} has no answer to score: {'; '.join(skipped.notes())}")
        likelihoods = model.log_likelihoods(requests)
        for sample, value in zip(samples, likelihoods, strict=True):
            sample["log_likelihood"] = value
            progress.advance()
        found.log_likelihood = sum(likelihoods)
        scores, notes = found.scores()
        alone = {} if model.scores_in_batches else ALONE
        facts = {"prompt": "chat" if chat else "plain", "skipped": skipped.total, **found.shares(), **alone}
        return TaskResult(scores, len(samples), samples, facts, [*skipped.notes(), *notes])

    @staticmethod
    def _plain(model: EvalModel, turns: list[dict[str, str]], answer: str) -> tuple[list[int], list[int], str]:
        """Return the ids of a question and of its answer, each encoded on its own, and the answer."""
        start = model.tokenizer.bos_token or model.tokenizer.eos_token
        before = start + "\n".join(turn["content"] for turn in turns) + "\n\n"
        prefix, targets = (model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, answer))
        return prefix, targets, answer
