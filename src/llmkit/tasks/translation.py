"""Translations against references: chrF, BLEU and TER, each over the corpus."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from llmkit.core.registry import Family
from llmkit.evaluation.asking import Layout
from llmkit.metrics import Metric
from llmkit.metrics.bleu import Bleu
from llmkit.metrics.chrf import ChrF
from llmkit.metrics.ter import Ter
from llmkit.tasks._generating import GeneratingTask


class Translation(GeneratingTask):
    """`generation` of translations: rows are a source and its targets, `{"en": "Good morning", "zh": "早上好"}`.

    A model that was trained on such rows is asked as its training noted, and an encoder-decoder is given the source;
    any other is told the language.
    """

    metrics: list[Annotated[Metric, Family("metric")]] = Field([ChrF(), Bleu(), Ter()], min_length=1)
    """How predictions are scored; each is an `evaluate.Metric`."""
    max_new_tokens: int = Field(256, ge=1)
    """Longest answer."""
    into: str | None = Field(None, min_length=1)
    """What a model that was not trained for it is told to translate into: `Chinese`. null sends the source alone."""

    def layout(self) -> Layout:
        """Return what stands around questions."""
        asks = f"Translate the following text into {self.into}. Answer with the translation alone.\n\n{{source}}"
        return replace(super().layout(), source=asks if self.into else None)
