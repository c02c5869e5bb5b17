"""The `evaluate.Metric` behind every member of the family: it gathers pairs in memory and hands them to one function.

Importing this module costs the seconds that `import evaluate` costs, so members import it in `load()` only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import datasets
import evaluate

from llmkit.metrics._given import checked

Score = Callable[[list[str], list[list[str]]], dict[str, float]]
"""Takes n predictions and for each a non-empty list of references; returns scores on a scale of 0 to 100."""


class PairMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
    """Score predictions against references, offline and without a cache directory.

    `add`, `add_batch`, `compute` and `evaluate.combine` work as for any metric. A reference is one string, or a list of
    strings of which the best match counts; the two may be mixed.

    Args:
        name: Name of the metric; `evaluate.combine` uses it as a prefix where score names collide.
        description: What is measured, for `metric.description`.
        citation: The paper.
        score: The scoring function.
    """

    def __init__(self, name: str, description: str, citation: str, score: Score) -> None:
        # Before super().__init__, which calls _info().
        self._description, self._citation, self._score = description, citation, score
        super().__init__(keep_in_memory=True)
        self.info.module_name = name

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self._description,
            citation=self._citation,
            inputs_description="predictions: strings; references: strings, or lists of strings",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.List(datasets.Value("string"))}
            ),
        )

    def _build_data_dir(self) -> str:
        # The base class creates this directory in the user's cache even when it keeps everything in memory.
        return str(self._data_dir_root)

    def add(self, *, prediction: str | None = None, reference: str | Sequence[str] | None = None) -> None:
        """Add one pair."""
        super().add(prediction=prediction, reference=None if reference is None else _as_list(reference))

    def add_batch(
        self,
        *,
        predictions: Sequence[str] | None = None,
        references: Sequence[str | Sequence[str]] | None = None,
    ) -> None:
        """Add pairs; the two sequences have the same length."""
        lists = None if references is None else [_as_list(item) for item in references]
        super().add_batch(predictions=predictions, references=lists)

    def _finalize(self) -> None:
        if len(self) == 0:
            self.writer = None
            checked(self.name, [], [])
        super()._finalize()

    def _compute(self, *, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        checked(self.name, predictions, references)
        return self._score(predictions, references)


def _as_list(reference: str | Sequence[str]) -> Sequence[str]:
    return [reference] if isinstance(reference, str) else reference
