"""TER: edits of words that make a prediction its reference, per word of it (Snover et al. 2006), by sacrebleu."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from llmkit.metrics import References, TextMetric
from llmkit.metrics._given import checked
from llmkit.metrics._sacrebleu import shares_of, signature, sums_of
from llmkit.text.characters import unspaced_class

if TYPE_CHECKING:
    from sacrebleu.metrics.ter import TER

    from llmkit.evaluation.measures import Measure


class Ter(TextMetric):
    """Count insertions, deletions, substitutions and moves of whole stretches, over the corpus: lower is better.

    The score is `ter`, 100 times the edits over the mean length of the references; it is more than 100 where more
    words are wrong than there should be.
    """

    higher_is_better: ClassVar[bool] = False
    says: ClassVar[str] = "Edits per word of the references over the corpus, from 0, lower is better (sacrebleu)."
    paper: ClassVar[str] = (
        "Matthew Snover et al. A study of translation edit rate with targeted human annotation. AMTA 2006."
    )

    normalize: Literal["auto", "none", "western", "asian"] = "auto"
    """What is done to a text before it is cut at white space, as sacrebleu does it: nothing; punctuation cut off
    (`normalized`); Chinese cut into characters as well (`asian_support`). auto: `asian`, with each character of any
    script without spaces a word of its own, where most of the references' characters are of such scripts; else none."""
    no_punctuation: bool = False
    """Leave punctuation out."""
    case_sensitive: bool = False
    """Tell `The` from `the`."""

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return ter; of several references the nearest counts, over their mean length."""
        from llmkit.evaluation.measures import Sums

        way = self._way(references)
        if self.normalize == "auto" and way == "asian":
            predictions, references = _cut(predictions), [_cut(options) for options in references]
        sums = sums_of(self._scorer(way), predictions, references)
        return {"ter": Sums(sums, ter_of, higher_is_better=False)}

    def chosen(self, references: References) -> str:
        """Return sacrebleu's signature."""
        wanted = checked(self.called, [""] * len(references), references)[1]
        return signature(self._scorer(self._way(wanted)), wanted)

    def _way(self, references: Iterable[Iterable[str]]) -> str:
        if self.normalize != "auto":
            return self.normalize
        unspaced, _ = shares_of(text for options in references for text in options)
        return "asian" if 2 * unspaced > 1 else "none"

    def _scorer(self, way: str) -> TER:
        from sacrebleu.metrics.ter import TER

        return TER(
            normalized=way != "none",
            no_punct=self.no_punctuation,
            asian_support=way == "asian",
            case_sensitive=self.case_sensitive,
        )


def ter_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return TER of edits and mean reference lengths over a corpus, `[..., 2]`; 100 where nothing was to be said."""
    edits, length = sums[..., 0], sums[..., 1]
    found: NDArray[np.float64] = 100 * np.where(length > 0, edits / np.where(length > 0, length, 1.0), edits > 0)
    return found


def _cut(texts: Iterable[str]) -> list[str]:
    return [_unspaced().sub(r" \g<0> ", text) for text in texts]


@cache
def _unspaced() -> re.Pattern[str]:
    return re.compile(f"[{unspaced_class()}]")
