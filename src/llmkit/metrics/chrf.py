"""chrF: F-score of character n-grams over the whole corpus (Popovic, 2015), the same for every language and script."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from pydantic import Field

from llmkit.metrics import Metric

if TYPE_CHECKING:
    import evaluate


class ChrF(Metric):
    """Match character n-grams, needing no tokenizer; recall counts twice as much as precision, as in sacrebleu.

    The score is `chrf`. Counts are summed over the corpus before the division, so long pairs weigh more. An empty
    prediction matches nothing; it is never an error.
    """

    char_order: int = Field(default=6, ge=1)
    """Longest character n-gram, in characters without white space."""

    word_order: int = Field(default=0, ge=0)
    """Longest word n-gram; 2 makes it chrF++. Words are separated by white space, so leave it 0 for Chinese."""

    def load(self) -> evaluate.Metric:
        """Return the metric; its references may be lists, of which the best one counts."""
        from llmkit.metrics._pairs import PairMetric

        return PairMetric(
            "chrf",
            "Character n-gram F-score over the corpus, 0 to 100 (sacrebleu).",
            "Maja Popovic. chrF: character n-gram F-score for automatic MT evaluation. WMT 2015.",
            self._score,
        )

    def _score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        from sacrebleu.metrics.chrf import CHRF

        # sacrebleu wants the first references of all rows, then the second ones, with None where a row has no more.
        streams = list(zip_longest(*references))
        scorer = CHRF(char_order=self.char_order, word_order=self.word_order)
        return {"chrf": float(scorer.corpus_score(predictions, streams).score)}
