"""Generated answers against references: greedy, scored by any metrics of the family (ROUGE and chrF by default)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from llmkit.core.registry import Family
from llmkit.metrics import Metric
from llmkit.metrics.chrf import ChrF
from llmkit.metrics.rouge import Rouge
from llmkit.tasks._generating import GeneratingTask


class Generation(GeneratingTask):
    """Let the model answer each row's question and compare with the row's own answers.

    Thinking before an answer is kept apart: it is a sample's `thinking`, and only what follows it is compared.
    Nothing is cut: a question that does not fit into the model's positions, with room for `max_new_tokens`, is skipped
    and counted, as `answers` does.
    """

    metrics: list[Annotated[Metric, Family("metric")]] = Field([Rouge(), ChrF()], min_length=1)
    """How predictions are scored; each is an `evaluate.Metric`."""
