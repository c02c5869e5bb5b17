"""ROUGE: overlap of words with a reference, mean F-score over pairs (Lin, 2004), for text with or without spaces."""

from __future__ import annotations

import unicodedata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from llmkit.metrics import Metric
from llmkit.text.characters import MARK, UNSPACED, character_table, code_points

if TYPE_CHECKING:
    import evaluate

RougeType = Literal["rouge1", "rouge2", "rouge3", "rouge4", "rougeL", "rougeLsum"]


class Rouge(Metric):
    """Count the n-grams (`rouge1`, `rouge2`) or the longest common subsequence (`rougeL`) shared with the reference.

    Each score is the mean over pairs of 100 times the F-score, without stemming. English gives the numbers of
    `rouge_score`; its own tokenizer knows ASCII only and would score Chinese 0. An empty prediction scores 0.
    """

    types: list[RougeType] = Field(default=["rouge1", "rouge2", "rougeL"], min_length=1)
    """Scores to report; `rougeLsum` takes lines as sentences."""

    def load(self) -> evaluate.Metric:
        """Return the metric; its references may be lists, of which the best one counts."""
        from llmkit.metrics._pairs import PairMetric

        return PairMetric(
            "rouge",
            "Mean F-score of shared n-grams and of the longest common subsequence, 0 to 100 (rouge_score).",
            "Chin-Yew Lin. ROUGE: a package for automatic evaluation of summaries. ACL workshop, 2004.",
            self._score,
        )

    def _score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(self.types, tokenizer=SimpleNamespace(tokenize=tokenize))
        scores = [scorer.score_multi(refs, text) for text, refs in zip(predictions, references, strict=True)]
        return {name: 100 * sum(float(score[name].fmeasure) for score in scores) / len(scores) for name in self.types}


def tokenize(text: str) -> list[str]:
    """Cut text into lowercased runs of letters and digits, and scripts written without spaces into characters.

    Combining marks (accents, vowel signs) stay with their letter. For ASCII text the result is that of `rouge_score`'s
    default tokenizer without stemming.
    """
    pieces: list[str] = []
    inside_word = False
    text = unicodedata.normalize("NFKC", text).lower()
    for char, flags in zip(text, character_table().info[code_points(text)].tolist(), strict=True):
        if flags & MARK:
            if pieces and pieces[-1] != " ":  # an emoji's variation selector is a mark without a letter
                pieces.append(char)
        elif flags & UNSPACED:
            pieces += (" ", char)
            inside_word = False
        elif char.isalnum():
            if not inside_word:
                pieces.append(" ")
            pieces.append(char)
            inside_word = True
        else:
            pieces.append(" ")
            inside_word = False
    return "".join(pieces).split()
