"""Summaries against references: ROUGE, mean over texts (Lin 2004), for scripts with and without spaces."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field, field_validator

from llmkit.core.registry import Family
from llmkit.evaluation.asking import SOURCE, Layout
from llmkit.metrics import Metric
from llmkit.metrics.rouge import Rouge
from llmkit.tasks._generating import GeneratingTask


class Summarization(GeneratingTask):
    """`generation` with what summaries need: rows of a source and its targets, `{"document": ..., "summary": ...}`.

    A model that was trained on such rows is asked as its training noted, and an encoder-decoder is given the source;
    any other is asked by `instruction`.
    """

    metrics: list[Annotated[Metric, Family("metric")]] = Field(
        [Rouge(types=["rouge1", "rouge2", "rougeL", "rougeLsum"])], min_length=1
    )
    """How predictions are scored; each is an `evaluate.Metric`."""
    max_new_tokens: int = Field(128, ge=1)
    """Longest answer."""
    instruction: str = "Summarize the following text in a few sentences.\n\n{source}"
    """What a model that was not trained for it is asked; the source stands where it says `{source}`."""

    @field_validator("instruction")
    @classmethod
    def _has_source(cls, instruction: str) -> str:
        if instruction.count(SOURCE) != 1:
            raise ValueError(f"the source stands in it once, as {SOURCE}")
        return instruction

    def layout(self) -> Layout:
        """Return what stands around questions."""
        return replace(super().layout(), source=self.instruction)
