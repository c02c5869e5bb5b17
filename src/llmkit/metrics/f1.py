"""F1 of labels: a mean over the classes, so that a rare one counts as much as a frequent one (van Rijsbergen, 1979)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.metrics._confusion import Average, confusion_of_classes
from llmkit.metrics._label_texts import LabelMetric

if TYPE_CHECKING:
    import evaluate


class F1(LabelMetric):
    """Compare labels class by class: the harmonic mean of precision and recall, 0 where a class is never found.

    The score is `macro_f1`, `micro_f1` or `weighted_f1`. Classes are the references' labels; a prediction that is none
    of them is wrong, and no class of its own. These are scikit-learn's numbers with the references' labels as `labels`.
    """

    average: Average = "macro"
    """Mean over classes, over all decisions together, or over classes weighted by how often each is true."""

    def load(self) -> evaluate.Metric:
        """Return the metric; of references that are lists the first is the class, unless another is equal."""
        from llmkit.metrics._pairs import PairMetric

        return PairMetric(
            self._name,
            f"{self.average.capitalize()} mean of F1 over labels, 0 to 100 (scikit-learn).",
            "C. J. van Rijsbergen. Information Retrieval. Butterworths, 1979.",
            self._score,
        )

    @property
    def _name(self) -> str:
        return f"{self.average}_f1"

    def _score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        found = [self.label(text) for text in predictions]
        options = [[self.label(text) for text in several] for several in references]
        true = [label if label in several else several[0] for label, several in zip(found, options, strict=True)]
        classes = {label: number for number, label in enumerate(sorted(set(true)))}
        confusion = confusion_of_classes(
            [classes[label] for label in true], [classes.get(label, -1) for label in found], len(classes)
        )
        return {self._name: 100 * confusion.mean_f1(self.average)}
