"""ROUGE: overlap of words with a reference, mean F-score over pairs (Lin, 2004), for text with or without spaces."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from llmkit.metrics import TextMetric
from llmkit.metrics._words import tokenize

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure

RougeType = Literal["rouge1", "rouge2", "rouge3", "rouge4", "rougeL", "rougeLsum"]


class Rouge(TextMetric):
    """Count the n-grams (`rouge1`, `rouge2`) or the longest common subsequence (`rougeL`) shared with the reference.

    Each score is the mean over pairs of 100 times the F-score, without stemming. English gives the numbers of
    `rouge_score`; its own tokenizer knows ASCII only and would score Chinese 0. An empty prediction scores 0.
    """

    says: ClassVar[str] = (
        "Mean F-score of shared n-grams and of the longest common subsequence, 0 to 100 (rouge_score)."
    )
    paper: ClassVar[str] = "Chin-Yew Lin. ROUGE: a package for automatic evaluation of summaries. ACL workshop, 2004."

    types: list[RougeType] = Field(default=["rouge1", "rouge2", "rougeL"], min_length=1)
    """Scores to report; `rougeLsum` takes lines as sentences."""

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return the scores; the best of several references counts."""
        from rouge_score.rouge_scorer import RougeScorer

        from llmkit.evaluation.measures import mean

        scorer = RougeScorer(self.types, tokenizer=SimpleNamespace(tokenize=tokenize))
        scores = [scorer.score_multi(refs, text) for text, refs in zip(predictions, references, strict=True)]
        return {name: mean([100 * float(score[name].fmeasure) for score in scores]) for name in self.types}
