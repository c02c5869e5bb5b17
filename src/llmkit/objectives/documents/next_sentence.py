"""Next-sentence prediction together with masking (Devlin et al. 2018, "BERT", section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from llmkit.objectives.documents._pairs import Pairs

if TYPE_CHECKING:
    import numpy as np


class NextSentence(Pairs):
    """Say whether the second part follows the first (0) or comes from another document (1), and predict masked tokens.

    Half of the second parts come from another document.
    """

    random_second: ClassVar[bool] = True

    def order(self, follows: bool, generator: np.random.Generator) -> tuple[bool, int]:  # noqa: ARG002 - it is drawn by the packer
        """Return that nothing is swapped, and 0 if the second part follows."""
        return False, 0 if follows else 1
