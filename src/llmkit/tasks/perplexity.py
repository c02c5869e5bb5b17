"""Bits per byte and perplexity on held-out text: rolling log-likelihood, defined as in lm-evaluation-harness."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llmkit.core.errors import DataError
from llmkit.data.artifacts import Corpus, Tokens
from llmkit.tasks import Task, TaskResult
from llmkit.text.words import count_words

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
        from llmkit.evaluation.text_score import TextScore
        from llmkit.modeling.tokenizer import encode_documents

        found = TextScore(num_words=0)
        samples = []
        for name, text in self._texts():
            (ids,) = encode_documents(model.tokenizer, [text])
            requests = rolling_requests(ids.tolist(), start=model.start, max_length=model.max_length)
            score = sum(model.log_likelihoods(requests))
            size, unread = len(text.encode()), model.coverage.measure([text])
            found.add(score, size, len(ids), unread, num_words=count_words(text))
            samples.append(
                {"id": name, "log_likelihood": score, "bytes": size, "unread_bytes": unread.total, "tokens": len(ids)}
            )
            progress.advance()
        if not found.num_bytes:
            raise DataError(f"tasks.data: {self.data} has no text to score")
        scores, notes = found.scores()
        if words := self._is_damaged():
            scores, notes = {}, [words]
        alone = {} if model.scores_in_batches else ALONE
        facts = {"bytes": found.num_bytes, "tokens": found.num_tokens, **found.shares(), **alone}
        return TaskResult(scores, len(samples), samples, facts, notes)

    def _is_damaged(self) -> str:
        """Say of tokens whose tokenizer did not read their text that decoding does not give it back."""
        tokens = Tokens(self.data)
        if not tokens.is_there():
            return ""
        unread, num_bytes = tokens.unread(self.split), tokens.facts["splits"][self.split]["bytes"]
        if not unread.is_too_much(num_bytes):
            return ""
        what = f"no scores: in the split '{self.split}' of {self.data} {unread.words(num_bytes)}"
        return f"{what}: use the corpus that it was made of"

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
