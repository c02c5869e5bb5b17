"""What `accuracy` and `f1` share: labels that a model wrote as text."""

from __future__ import annotations

from llmkit.metrics import TextMetric


class LabelMetric(TextMetric):
    """A score of labels; blanks around them never count."""

    ignore_case: bool = False
    """Take `Positive` for `positive`."""

    def label(self, text: str) -> str:
        """Return what is compared of a text."""
        return text.strip().casefold() if self.ignore_case else text.strip()
