"""Sentence-order prediction together with masking (Lan et al. 2020, "ALBERT", section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.objectives.documents._pairs import Pairs

if TYPE_CHECKING:
    import numpy as np


class SentenceOrder(Pairs):
    """Say whether two parts of a document stand in their order (0) or are swapped (1), and predict masked tokens.

    Half of the pairs are swapped, drawn anew every epoch. Unlike next-sentence prediction it cannot be solved by topic.
    """

    def order(self, follows: bool, generator: np.random.Generator) -> tuple[bool, int]:  # noqa: ARG002 - they always do
        """Return whether the parts are swapped, and 1 if they are."""
        swapped = bool(generator.random() < 0.5)
        return swapped, int(swapped)
