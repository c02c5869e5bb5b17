"""Family "metric": scores of generated text, each an `evaluate.Metric` shipped with the package, one module each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.core.registry import Part

if TYPE_CHECKING:
    import evaluate


class Metric(Part):
    """A score of predictions against references."""

    def load(self) -> evaluate.Metric:
        """Return the metric; it downloads nothing and keeps its state in memory.

        Its `compute(predictions=list[str], references=list[str])` returns `{score name: float}`, from 0 to 100.
        """
        raise NotImplementedError
