"""Accuracy: the share of predictions that are the right label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.metrics._label_texts import LabelMetric

if TYPE_CHECKING:
    import evaluate


class Accuracy(LabelMetric):
    """Count the predictions that equal their reference, or one of them if there are several.

    The score is `accuracy`. The whole text must agree: `positive.` is not `positive`.
    """

    def load(self) -> evaluate.Metric:
        """Return the metric; its references may be lists, of which one must be equal."""
        from llmkit.metrics._pairs import PairMetric

        return PairMetric("accuracy", "Share of predictions that equal a reference, 0 to 100.", "", self._score)

    def _score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        pairs = zip(predictions, references, strict=True)
        hits = sum(self.label(text) in map(self.label, options) for text, options in pairs)
        return {"accuracy": 100 * hits / len(predictions)}
