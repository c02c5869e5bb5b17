"""Exact match and F1 of short answers, as SQuAD counts them (Rajpurkar et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from llmkit.metrics import TextMetric

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure


class Squad(TextMetric):
    """Compare answers with their references in lower case, without punctuation and the articles a, an and the.

    The scores are `exact_match` and `squad_f1`, the overlap of words; the best of several references counts. Characters
    of scripts without spaces, such as Chinese, are words of their own, and their punctuation is left out.
    """

    says: ClassVar[str] = "Exact match and F1 of answers, 0 to 100, as SQuAD's script counts them."
    paper: ClassVar[str] = (
        "Pranav Rajpurkar et al. SQuAD: 100,000+ questions for machine comprehension of text. EMNLP 2016."
    )

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return exact_match and squad_f1."""
        from llmkit.evaluation.measures import mean
        from llmkit.metrics._squad import exact, overlap

        pairs = list(zip(predictions, references, strict=True))
        found = {"exact_match": exact, "squad_f1": overlap}
        return {name: mean([100 * score(*pair) for pair in pairs]) for name, score in found.items()}
