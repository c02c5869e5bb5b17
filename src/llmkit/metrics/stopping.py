"""How a model stops: whether it comes to an end by itself, how much it writes, and how often it repeats itself.

Repetition is 1 - distinct / all n-grams of words (Welleck et al. 2020, "Neural text generation with unlikelihood
training": seq-rep-4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from llmkit.metrics import TextMetric
from llmkit.metrics._words import tokenize

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure


class Stopping(TextMetric):
    """Look at predictions alone: no references are needed.

    The scores are `ended`, the share of answers that came to an end before `max_new_tokens`; `repetition`, the mean
    share of n-grams of words that have stood in the same answer before, both 0 to 100; and `tokens`, the mean length
    of an answer with its thinking. From Python, where only texts are known, `repetition` is all there is.
    """

    says: ClassVar[str] = "Mean share of n-grams of words that have stood in the same text before, 0 to 100."
    paper: ClassVar[str] = "Sean Welleck et al. Neural text generation with unlikelihood training. ICLR 2020."

    order: int = Field(default=4, ge=1)
    """Words of an n-gram; characters of scripts without spaces are words."""

    @property
    def needs_references(self) -> bool:
        """Whether predictions are compared with anything: no."""
        return False

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:  # noqa: ARG002
        """Return repetition."""
        from llmkit.evaluation.measures import mean

        return {"repetition": mean([self.repetition(text) for text in predictions], higher_is_better=False, top=100.0)}

    def measures_of(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Measure]:
        """Return ended, repetition and, where the runtime counts them, tokens."""
        from llmkit.evaluation.measures import mean

        ended = mean([100.0 * (not sample["truncated"]) for sample in samples])
        counts = [sample.get("tokens") for sample in samples]
        lengths = (
            {} if None in counts else {"tokens": mean([float(count or 0) for count in counts], higher_is_better=None)}
        )
        return {"ended": ended, **super().measures_of(samples), **lengths}

    def repetition(self, text: str) -> float:
        """Return the share of the n-grams of a text that repeat one before, 0 to 100; 0 of a text that has none."""
        words = tokenize(text)
        grams = list(zip(*(islice(words, start, None) for start in range(self.order)), strict=False))
        return 100 * (1 - len(set(grams)) / len(grams)) if grams else 0.0
