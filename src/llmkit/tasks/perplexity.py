"""Bits per byte and perplexity on held-out text: rolling log-likelihood, defined as in lm-evaluation-harness."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llmkit.core.errors import DataError
from llmkit.data.artifacts import Corpus, Tokens
from llmkit.tasks import Task, TaskResult

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs
    from llmkit.core.progress import Progress
    from llmkit.evaluation.model import EvalModel


class Perplexity(Task):
    """Score every token of a corpus, or of one split of a token artifact.

    The text is encoded anew by each model's own tokenizer, so that models with different ones can be compared.
    """

    split: Literal["train", "validation", "test"] = "test"
    """Which split of a token artifact; a corpus is taken whole."""

    def add_input(self, inputs: Inputs) -> Path:
        """Take tokens or a corpus."""
        return inputs.add_artifact(self.data, ("tokens", "corpus"), role="tasks.data")

    def run(self, model: EvalModel, progress: Progress) -> TaskResult:
        """Return bits_per_byte, word_perplexity and token_perplexity over the whole text."""
        from llmkit.evaluation.model import ALONE, rolling_requests
        from llmkit.modeling.tokenizer import encode_documents

        total, num_bytes, num_words, num_tokens = 0.0, 0, 0, 0
        samples = []
        for name, text in self._texts():
            (ids,) = encode_documents(model.tokenizer, [text])
            requests = rolling_requests(ids.tolist(), start=model.start, max_length=model.max_length)
            score = sum(model.log_likelihoods(requests))
            size = len(text.encode("utf-8"))
            total += score
            num_bytes += size
            num_words += len(re.split(r"\s+", text))
            num_tokens += len(ids)
            samples.append({"id": name, "log_likelihood": score, "bytes": size, "tokens": len(ids)})
            progress.advance()
        if not num_bytes:
            raise DataError(f"tasks.data: {self.data} has no text to score")
        scores = {
            "bits_per_byte": -total / num_bytes / math.log(2),
            "word_perplexity": math.exp(min(700.0, -total / num_words)),
            "token_perplexity": math.exp(min(700.0, -total / num_tokens)),
        }
        alone = {} if model.scores_in_batches else ALONE
        return TaskResult(scores, len(samples), samples, {"bytes": num_bytes, "tokens": num_tokens, **alone})

    def _texts(self) -> list[tuple[str, str]]:
        """Return (id, text) of the documents."""
        if Tokens(self.data).is_there():
            texts = self._decoded(Path(self.data))
        else:
            texts = [(row["id"], row["text"]) for row in Corpus(self.data).rows(["id", "text"])]
        return texts[: self.limit]

    def _decoded(self, directory: Path) -> list[tuple[str, str]]:
        from llmkit.data.token_reader import TokenSplit
        from llmkit.modeling.tokenizer import load_tokenizer

        split = TokenSplit(directory, self.split)
        tokenizer = load_tokenizer(directory)
        return [
            (f"{self.split}:{i}", tokenizer.decode(split.document(i), clean_up_tokenization_spaces=False))
            for i in range(split.num_documents)
        ]
