"""chrF: F-score of character n-grams over the whole corpus (Popovic, 2015), the same for every language and script."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from llmkit.metrics import References, TextMetric
from llmkit.metrics._given import checked
from llmkit.metrics._sacrebleu import signature, sums_of

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF

    from llmkit.evaluation.measures import Measure

RECALL_WEIGHT = 4
"""The square of beta, which is 2."""


class ChrF(TextMetric):
    """Match character n-grams, needing no tokenizer; recall counts twice as much as precision, as in sacrebleu.

    The score is `chrf`. Counts are summed over the corpus before the division, so long pairs weigh more. An empty
    prediction matches nothing; it is never an error.
    """

    says: ClassVar[str] = "Character n-gram F-score over the corpus, 0 to 100 (sacrebleu)."
    paper: ClassVar[str] = "Maja Popovic. chrF: character n-gram F-score for automatic MT evaluation. WMT 2015."

    char_order: int = Field(default=6, ge=1)
    """Longest character n-gram, in characters without white space."""

    word_order: int = Field(default=0, ge=0)
    """Longest word n-gram; 2 makes it chrF++. Words are separated by white space, so leave it 0 for Chinese."""

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return chrf; the best of several references counts."""
        from llmkit.evaluation.measures import Sums

        return {"chrf": Sums(sums_of(self._scorer(), predictions, references), chrf_of)}

    def chosen(self, references: References) -> str:
        """Return sacrebleu's signature."""
        return signature(self._scorer(), checked(self.called, [""] * len(references), references)[1])

    def _scorer(self) -> CHRF:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF(char_order=self.char_order, word_order=self.word_order)


def chrf_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return chrF of counts over a corpus: the F-score of the means over all orders that both sides have.

    Args:
        sums: `[..., 3 * orders]`: n-grams said, n-grams of the reference, n-grams in both; order by order.
    """
    said, wanted, both = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    counted = (said > 0) & (wanted > 0)
    orders = np.maximum(counted.sum(axis=-1), 1)
    precision = np.where(counted, both / np.where(counted, said, 1.0), 0.0).sum(axis=-1) / orders
    recall = np.where(counted, both / np.where(counted, wanted, 1.0), 0.0).sum(axis=-1) / orders
    below = RECALL_WEIGHT * precision + recall
    score: NDArray[np.float64] = 100 * ((1 + RECALL_WEIGHT) * precision * recall / np.where(below > 0, below, 1.0))
    return score
