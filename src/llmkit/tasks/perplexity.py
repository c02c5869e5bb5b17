"""Bits per byte and perplexity on held-out text: rolling log-likelihood, defined as in lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llmkit.core.errors import DataError
from llmkit.data.artifacts import Tokens
from llmkit.evaluation.asked import positions_of, rolling_requests, tokenizer_of
from llmkit.evaluation.reading import Unreadable, read_texts, shown
from llmkit.evaluation.text_score import text_measures, unread_facts
from llmkit.runtimes import Request, Running, Score
from llmkit.tasks import DataTask, Measurement, TaskResult
from llmkit.text.words import count_words

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure

TEXTS = 16
"""Documents encoded at a time."""


class Perplexity(DataTask):
    """Score every token of a corpus, or of one split of a token artifact.

    The text is encoded anew by each model's own tokenizer, so that models with different ones can be compared.
    """

    example: ClassVar[Request] = Score((0,), (0,))
    artifacts: ClassVar[tuple[str, ...]] = ("tokens", "corpus")

    split: Literal["train", "validation", "test"] = "test"
    """Which split of a token artifact; a corpus is taken whole."""

    def on(self, model: Running) -> _Perplexity:
        """Return the measurement of one model."""
        return _Perplexity(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return bits_per_byte, word_perplexity and token_perplexity."""
        return text_measures(samples)[0]

    def is_damaged(self) -> str:
        """Say of tokens whose tokenizer did not read their text that decoding does not give it back."""
        tokens = Tokens(self.data.root())
        if not tokens.is_there():
            return ""
        unread, num_bytes = tokens.unread(self.split), tokens.facts["splits"][self.split]["bytes"]
        if not unread.is_too_much(num_bytes):
            return ""
        what = f"no scores: in the split '{self.split}' of {shown(self.data)} {unread.words(num_bytes)}"
        return f"{what}: use the corpus that it was made of"

    def texts(self, unreadable: Unreadable) -> Iterator[tuple[str, str]]:
        """Yield (id, text) of the documents."""
        if Tokens(self.data.root()).is_there():
            texts = self._decoded(Path(self.data.root()))
        else:
            texts = ((item.id, item.fields["text"]) for item in read_texts(self.data, unreadable))
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
    text: str
    requests: list[Score]
    num_tokens: int


class _Perplexity(Measurement):
    """bits_per_byte, word_perplexity and token_perplexity over the whole text."""

    def __init__(self, task: Perplexity, model: Running) -> None:
        from llmkit.modeling.coverage import coverage_of
        from llmkit.modeling.tokenizer import special_ids

        super().__init__(model)
        self.task, self.tokenizer = task, tokenizer_of(model)
        self.start, self.coverage = special_ids(self.tokenizer).bos, coverage_of(self.tokenizer)
        self.unreadable = Unreadable()

    def rows(self) -> Iterator[_Row]:
        """Yield the documents."""
        from llmkit.modeling.tokenizer import encode_documents

        is_empty = True
        documents = self.task.texts(self.unreadable)
        while part := list(islice(documents, TEXTS)):
            encoded = encode_documents(self.tokenizer, [text for _, text in part])
            for (name, text), ids in zip(part, encoded, strict=True):
                requests = rolling_requests(ids.tolist(), start=self.start, max_length=positions_of(self.model))
                is_empty = is_empty and not text
                yield _Row(name, text, requests, len(ids))
        if is_empty:
            raise DataError(f"tasks.data: {shown(self.task.data)} has no text to score")

    def requests(self, row: _Row) -> list[Score]:
        """Ask for every token of a document."""
        return row.requests

    def score(self, row: _Row, answers: Sequence[float]) -> dict[str, Any]:
        """Return sizes and the log-likelihood."""
        total, size, unread = sum(answers), len(row.text.encode()), self.coverage.measure([row.text])
        return {
            "id": row.name, "log_likelihood": total, "bytes": size, **unread_facts(unread), "tokens": row.num_tokens,
            "words": count_words(row.text),
        }  # fmt: skip

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the scores; none of text that tokens cannot give back."""
        measures, notes, shares = text_measures(samples)
        if words := self.task.is_damaged():
            measures, notes = {}, [words]
        facts = {name: sum(sample[name] for sample in samples) for name in ("bytes", "tokens")} | shares
        return TaskResult.of(measures, samples, facts, [*self.unreadable.notes(), *notes])
