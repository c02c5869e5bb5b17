"""Bits per byte of reference answers: how well a model predicts what the assistant should say, given the question."""

from __future__ import annotations

import math
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
        from llmkit.evaluation.exchanges import read_exchanges, scored_answer
        from llmkit.evaluation.model import ALONE

        chat = self.prompt == "chat" or (self.prompt == "auto" and bool(model.tokenizer.chat_template))
        tokenizer = deepcopy(model.tokenizer) if chat else model.tokenizer  # the next task asks it the same question
        if chat:
            ensure_template(tokenizer)
        requests = []
        samples: list[dict[str, Any]] = []
        skipped = 0
        for name, turns, answer in islice(read_exchanges(self.data), self.limit):
            whole = [*turns, {"role": "assistant", "content": answer or ""}]
            if not turns or not answer or literal_special(tokenizer, whole) is not None:
                skipped += 1
                continue
            prefix, targets, said = scored_answer(tokenizer, whole) if chat else self._plain(model, turns, answer)
            if not targets or len(prefix) + len(targets) > model.max_length + 1:
                skipped += 1
                continue
            requests.append((prefix, targets))
            samples.append({"id": name, "bytes": len(said.encode("utf-8")), "tokens": len(targets)})
        if not requests:
            raise DataError(f"tasks.data: {self.data} has no answer to score ({skipped:,} do not fit into the model)")
        likelihoods = model.log_likelihoods(requests)
        for sample, value in zip(samples, likelihoods, strict=True):
            sample["log_likelihood"] = value
            progress.advance()
        total, num_bytes = sum(likelihoods), sum(sample["bytes"] for sample in samples)
        scores = {
            "bits_per_byte": -total / num_bytes / math.log(2),
            "token_perplexity": math.exp(min(700.0, -total / sum(sample["tokens"] for sample in samples))),
        }
        return TaskResult(
            scores,
            len(samples),
            samples,
            {"prompt": "chat" if chat else "plain", "skipped": skipped, **({} if model.scores_in_batches else ALONE)},
        )

    @staticmethod
    def _plain(model: EvalModel, turns: list[dict[str, str]], answer: str) -> tuple[list[int], list[int], str]:
        """Return the ids of a question and of its answer, each encoded on its own, and the answer."""
        start = model.tokenizer.bos_token or model.tokenizer.eos_token
        before = start + "\n".join(turn["content"] for turn in turns) + "\n\n"
        prefix, targets = (model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, answer))
        return prefix, targets, answer
