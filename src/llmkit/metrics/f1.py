"""F1 of labels: a mean over the classes, so that a rare one counts as much as a frequent one (van Rijsbergen, 1979)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from llmkit.metrics._confusion import Average, confusion_of_classes
from llmkit.metrics._label_texts import LabelMetric

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure


class F1(LabelMetric):
    """Compare labels class by class: the harmonic mean of precision and recall, 0 where a class is never found.

    The score is `macro_f1`, `micro_f1` or `weighted_f1`. Classes are the references' labels; a prediction that is none
    of them is wrong, and no class of its own. These are scikit-learn's numbers with the references' labels as `labels`.
    """

    says: ClassVar[str] = "Mean of F1 over labels, 0 to 100 (scikit-learn)."
    paper: ClassVar[str] = "C. J. van Rijsbergen. Information Retrieval. Butterworths, 1979."

    average: Average = "macro"
    """Mean over classes, over all decisions together, or over classes weighted by how often each is true."""

    @property
    def called(self) -> str:
        """The score's name, so that averages can stand beside each other."""
        return f"{self.average}_f1"

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return the score; of references that are lists the first is the class, unless another is equal."""
        from llmkit.evaluation.measures import Whole

        said = [self.label(text) for text in predictions]
        options = [[self.label(text) for text in several] for several in references]
        wanted = [label if label in several else several[0] for label, several in zip(said, options, strict=True)]
        classes = {label: number for number, label in enumerate(sorted(set(wanted)))}
        true = np.array([classes[label] for label in wanted])
        found = np.array([classes.get(label, -1) for label in said])

        def score(chosen: NDArray[np.int64]) -> float:
            return 100 * confusion_of_classes(true[chosen], found[chosen], len(classes)).mean_f1(self.average)

        return {self.called: Whole(len(said), score)}
