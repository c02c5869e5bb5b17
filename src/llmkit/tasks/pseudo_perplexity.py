"""How well a masked language model knows text: each token masked in turn, and predicted from all others.

The pseudo-log-likelihood of Salazar et al. 2020, "Masked Language Model Scoring". `within_word` masks what is
left of a token's word as well (Kauf and Ivanova 2023, "A Better Way to Do Masked Language Model Scoring"):
else the rest of a rare word gives its tokens away.

    ids               [CLS] the sou ##ven ##ir [SEP]
    sou, original     [CLS] the [MASK] ##ven ##ir [SEP]
    sou, within_word  [CLS] the [MASK] [MASK] [MASK] [SEP]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from llmkit.evaluation.asked import positions_of
from llmkit.evaluation.reading import Item
from llmkit.runtimes import Fill, Request, Running
from llmkit.tasks._texts import TextMeasurement, TextTask


class PseudoPerplexity(TextTask):
    """Mask each token of texts in turn, and score what a masked language model says in its place.

    A text of n tokens takes n passes of the model: set `limit` for long ones.
    """

    example: ClassVar[Request] = Fill((0,), (0,), (0,))
    said: ClassVar[str] = "pseudo_log_likelihood"
    prefix: ClassVar[str] = "pseudo_"

    mask: Literal["original", "within_word"] = "original"
    """What is masked beside the token that is predicted: original: nothing; within_word: the rest of its word."""
    max_tokens: int | None = Field(None, ge=1)
    """Longest window, in tokens of text; null for what the model takes. A longer text is scored window by window, the
    last one shifted left, so that it has more context."""

    def on(self, model: Running) -> _PseudoPerplexity:
        """Return the measurement of one model."""
        return _PseudoPerplexity(self, model)


@dataclass(frozen=True)
class _Row:
    item: Item
    requests: list[Fill]
    num_tokens: int


class _PseudoPerplexity(TextMeasurement):
    """Pseudo-log-likelihoods."""

    def __init__(self, task: PseudoPerplexity, model: Running) -> None:
        from llmkit.modeling.vocabulary import vocabulary_of

        super().__init__(task, model)
        vocabulary = vocabulary_of(self.tokenizer)
        start, end = (
            other if own is None else own
            for own, other in ((vocabulary.cls, vocabulary.bos), (vocabulary.sep, vocabulary.eos))
        )
        self.before, self.after = ([i] if i is not None else [] for i in (start, end))
        self.masked = vocabulary.need("mask", task.type_name)
        self.starts_word = vocabulary.starts_word if task.mask == "within_word" else None
        most = positions_of(model) - len(self.before) - len(self.after)
        self.window = min(task.max_tokens or most, most)

    def rows(self) -> Iterator[_Row]:
        """Yield the documents."""
        for item, ids in self.encoded():
            yield _Row(item, list(self._fills(ids.tolist())), len(ids))

    def _fills(self, ids: list[int]) -> Iterator[Fill]:
        """Yield a request for each id; all but the last window have as many ids as fit, and none is scored twice."""
        for begin in range(0, len(ids), self.window):
            end = min(begin + self.window, len(ids))
            left = max(0, end - self.window)
            words = [True] * (end - left) if self.starts_word is None else self.starts_word[ids[left:end]].tolist()
            for place in range(begin - left, end - left):
                masked = ids[left:end]
                masked[place] = self.masked
                for rest in range(place + 1, len(masked)):
                    if words[rest]:
                        break
                    masked[rest] = self.masked
                row = (*self.before, *masked, *self.after)
                yield Fill(row, (len(self.before) + place,), (ids[left + place],))

    def requests(self, row: _Row) -> list[Fill]:
        """Ask for every token of a document."""
        return row.requests

    def score(self, row: _Row, answers: Sequence[float]) -> dict[str, Any]:
        """Return sizes and the pseudo-log-likelihood."""
        return self.sample(row.item, row.num_tokens, math.fsum(answers))
