"""Accuracy: the share of predictions that are the right label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from llmkit.metrics._label_texts import LabelMetric

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure


class Accuracy(LabelMetric):
    """Count the predictions that equal their reference, or one of them if there are several.

    The score is `accuracy`. The whole text must agree: `positive.` is not `positive`.
    """

    says: ClassVar[str] = "Share of predictions that equal a reference, 0 to 100."

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return accuracy."""
        from llmkit.evaluation.measures import mean

        pairs = zip(predictions, references, strict=True)
        return {"accuracy": mean([100.0 * (self.label(text) in map(self.label, options)) for text, options in pairs])}
