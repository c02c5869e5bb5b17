"""Bits per byte and perplexity on held-out text: rolling log-likelihood, defined as in lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llmkit.core.errors import DataError
from llmkit.data.artifacts import Corpus, Tokens
from llmkit.evaluation.asked import positions_of, rolling_requests, tokenizer_of
from llmkit.runtimes import Request, Running, Score
from llmkit.tasks import Measurement, Task, TaskResult
from llmkit.text.words import count_words

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs
    from llmkit.data.unread import Unread

TEXTS = 16
"""Documents encoded at a time."""


class Perplexity(Task):
    """Score every token of a corpus, or of one split of a token artifact.

    The text is encoded anew by each model's own tokenizer, so that models with different ones can be compared.
    """

    example: ClassVar[Request] = Score((0,), (0,))

    split: Literal["train", "validation", "test"] = "test"
    """Which split of a token artifact; a corpus is taken whole."""

    def add_input(self, inputs: Inputs) -> Path:
        """Take tokens or a corpus."""
        return inputs.add_artifact(self.data, ("tokens", "corpus"), role="tasks.data")

    def on(self, model: Running) -> _Perplexity:
        """Return the measurement of one model."""
        return _Perplexity(self, model)

    def is_damaged(self) -> str:
        """Say of tokens whose tokenizer did not read their text that decoding does not give it back."""
        tokens = Tokens(self.data)
        if not tokens.is_there():
            return ""
        unread, num_bytes = tokens.unread(self.split), tokens.facts["splits"][self.split]["bytes"]
        if not unread.is_too_much(num_bytes):
            return ""
        what = f"no scores: in the split '{self.split}' of {self.data} {unread.words(num_bytes)}"
        return f"{what}: use the corpus that it was made of"

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield (id, text) of the documents."""
        if Tokens(self.data).is_there():
            texts = self._decoded(Path(self.data))
        else:
            texts = ((row["id"], row["text"]) for row in Corpus(self.data).rows(["id", "text"]))
        return islice(texts, self.limit)

    def _decoded(self, directory: Path) -> Iterator[tuple[str, str]]:
        from llmkit.data.token_reader import TokenSplit
        from llmkit.modeling.tokenizer import load_tokenizer

        split = TokenSplit(directory, self.split)
        tokenizer = load_tokenizer(directory)
        for i in range(split.num_documents):
            yield f"{self.split}:{i}", tokenizer.decode(split.document(i), clean_up_tokenization_spaces=False)


@dataclass(frozen=True)
class _Row:
    name: str
    requests: list[Score]
    num_bytes: int
    num_words: int
    num_tokens: int
    unread: Unread


class _Perplexity(Measurement):
    """bits_per_byte, word_perplexity and token_perplexity over the whole text."""

    def __init__(self, task: Perplexity, model: Running) -> None:
        from llmkit.evaluation.text_score import TextScore
        from llmkit.modeling.coverage import coverage_of
        from llmkit.modeling.tokenizer import special_ids

        super().__init__(model)
        self.task, self.tokenizer = task, tokenizer_of(model)
        self.start, self.coverage = special_ids(self.tokenizer).bos, coverage_of(self.tokenizer)
        self.found = TextScore(num_words=0)

    def rows(self) -> Iterator[_Row]:
        """Yield the documents."""
        from llmkit.modeling.tokenizer import encode_documents

        num_bytes = 0
        documents = self.task.texts()
        while part := list(islice(documents, TEXTS)):
            encoded = encode_documents(self.tokenizer, [text for _, text in part])
            for (name, text), ids in zip(part, encoded, strict=True):
                requests = rolling_requests(ids.tolist(), start=self.start, max_length=positions_of(self.model))
                size, unread = len(text.encode()), self.coverage.measure([text])
                num_bytes += size
                yield _Row(name, requests, size, count_words(text), len(ids), unread)
        if not num_bytes:
            raise DataError(f"tasks.data: {self.task.data} has no text to score")

    def requests(self, row: _Row) -> list[Score]:
        """Ask for every token of a document."""
        return row.requests

    def score(self, row: _Row, answers: Sequence[float]) -> dict[str, Any]:
        """Return sizes and the log-likelihood."""
        total = sum(answers)
        self.found.add(total, row.num_bytes, row.num_tokens, row.unread, num_words=row.num_words)
        return {
            "id": row.name, "log_likelihood": total, "bytes": row.num_bytes, "unread_bytes": row.unread.total,
            "tokens": row.num_tokens,
        }  # fmt: skip

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the scores; none of text that tokens cannot give back."""
        scores, notes = self.found.scores()
        if words := self.task.is_damaged():
            scores, notes = {}, [words]
        facts = {"bytes": self.found.num_bytes, "tokens": self.found.num_tokens, **self.found.shares()}
        return TaskResult(scores, len(samples), samples, facts, notes)
