"""Family "metric": scores of generated text, each an `evaluate.Metric` shipped with the package, one module each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.core.registry import Part
from llmkit.metrics._given import References, checked

if TYPE_CHECKING:
    import evaluate

    from llmkit.evaluation.measures import Measure

__all__ = ["Metric", "References", "TextMetric"]


class Metric(Part):
    """A score of predictions against references.

    Attributes:
        higher_is_better: Which of two values is the better one, for a metric that does not say what its scores rest on.
    """

    higher_is_better: ClassVar[bool] = True

    @property
    def needs_references(self) -> bool:
        """Whether predictions are compared with anything; if not, a row without an answer will do."""
        return True

    def load(self) -> evaluate.Metric:
        """Return the metric; it downloads nothing and keeps its state in memory.

        Its `compute(predictions=list[str], references=list[str])` returns `{score name: float}`, from 0 to 100.
        """
        raise NotImplementedError

    def measures(self, predictions: Sequence[str], references: References) -> dict[str, Measure]:
        """Return the scores with what they rest on, so that they have intervals and can be put to a test.

        A metric that has nothing but `load` is computed anew for every draw of samples: 100 of them.

        Raises:
            DataError: There are no predictions, or one has no reference.
        """
        from llmkit.metrics._resampled import resampled

        return resampled(self, predictions, references)

    def measures_of(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Measure]:
        """Return the same of samples of generation: `prediction`, `reference`, `truncated`, `tokens`."""
        references = [sample["reference"] if self.needs_references else "" for sample in samples]
        return self.measures([sample["prediction"] for sample in samples], references)

    def unusable(self, references: Sequence[str]) -> str:  # noqa: ARG002 - most take any text
        """Return why a row with such references cannot be scored, as it is said of many: `have no number`; else ""."""
        return ""

    def chosen(self, references: References) -> str:  # noqa: ARG002 - most choose nothing
        """Return what is chosen by the texts or by a library's version, and belongs beside the number; else ""."""
        return ""


class TextMetric(Metric):
    """A metric whose numbers are the values of its measures.

    Attributes:
        says: What is measured, in a sentence.
        paper: Where it is from.
    """

    says: ClassVar[str]
    paper: ClassVar[str] = ""

    def load(self) -> evaluate.Metric:
        """Return the metric; its references may be lists of texts that are as right."""
        from llmkit.metrics._pairs import PairMetric

        return PairMetric(self.called, self.says, self.paper, self._score)

    def measures(self, predictions: Sequence[str], references: References) -> dict[str, Measure]:
        """Return the scores with what they rest on.

        Raises:
            DataError: There are no predictions, or one has no reference.
        """
        return self.of_pairs(*checked(self.called, predictions, references))

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return the scores of predictions, which are never none, and of their references, never none either."""
        raise NotImplementedError

    @property
    def called(self) -> str:
        """What the metric is called in errors and by `evaluate.combine`."""
        return self.type_name

    def _score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        return {name: measure.value for name, measure in self.of_pairs(predictions, references).items()}
