"""Exact match and F1 of short answers, as SQuAD counts them (Rajpurkar et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.metrics import Metric

if TYPE_CHECKING:
    import evaluate


class Squad(Metric):
    """Compare answers with their references in lower case, without punctuation and the articles a, an and the.

    The scores are `exact_match` and `squad_f1`, the overlap of words; the best of several references counts. Characters
    of scripts without spaces, such as Chinese, are words of their own, and their punctuation is left out.
    """

    def load(self) -> evaluate.Metric:
        """Return the metric; its references may be lists, of which the best one counts."""
        from llmkit.metrics._pairs import PairMetric

        return PairMetric(
            "squad",
            "Exact match and F1 of answers, 0 to 100, as SQuAD's script counts them.",
            "Pranav Rajpurkar et al. SQuAD: 100,000+ questions for machine comprehension of text. EMNLP 2016.",
            self._score,
        )

    def _score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        from llmkit.metrics._squad import exact, overlap

        pairs = list(zip(predictions, references, strict=True))
        found = {"exact_match": exact, "squad_f1": overlap}
        return {name: 100 * sum(score(*pair) for pair in pairs) / len(pairs) for name, score in found.items()}
