"""Numeric answers: the share with the number of a reference, however it is written (Cobbe et al. 2021, "GSM8K")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from llmkit.core.errors import DataError
from llmkit.metrics import TextMetric
from llmkit.metrics._numbers import Number, numbers_in

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure

_BOXED = "\\boxed{"
_NO_NUMBER = "have a reference without a number"


class Numeric(TextMetric):
    r"""Find the number that a text answers with, in predictions and references alike, and compare the values.

    The score is `numeric_match`. `1,234`, `1234.0` and `1.234e3` are equal, as are `1/2`, `0.5`, `\frac{1}{2}`, `50%`
    and `百分之五十`; a percent sign on one side only may also be left out: `50%` is `50`. Values are compared exactly,
    as fractions. A prediction without a number is wrong.
    """

    says: ClassVar[str] = "Share of predictions whose number is that of a reference, 0 to 100."
    paper: ClassVar[str] = "Karl Cobbe et al. Training verifiers to solve math word problems. 2021."

    find: Literal["auto", "last", "first", "boxed", "hashes"] = "auto"
    r"""Where the answer is: the last number of the text, the first one, in the last `\boxed{}`, or behind the first
    `####`. auto: in a box if there is one, else behind `####` if that is there, else the last."""
    tolerance: float = Field(default=0.0, ge=0, lt=1)
    """How far off a value may be, as a share of the reference: with 0.01, 99 to 101 are 100."""

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return numeric_match.

        Raises:
            DataError: A reference has no number.
        """
        from llmkit.evaluation.measures import mean

        hits = []
        for row, (text, options) in enumerate(zip(predictions, references, strict=True)):
            wanted = [self.answer(option) for option in options]
            if None in wanted:
                raise DataError(
                    f"metric 'numeric': the reference of prediction {row} has no number: {options[0][:80]}",
                    "leave the row out, or score it with exact_match",
                )
            found = self.answer(text)
            hits.append(found is not None and any(self._is_equal(found, one) for one in wanted if one is not None))
        return {"numeric_match": mean([100.0 * hit for hit in hits])}

    def unusable(self, references: Sequence[str]) -> str:
        """Return that a reference has no number, if that is so."""
        return _NO_NUMBER if any(self.answer(text) is None for text in references) else ""

    def answer(self, text: str) -> Number | None:
        """Return the number that a text answers with; None if it has none where it is looked for."""
        if self.find in ("auto", "boxed") and (boxed := _boxed(text)) is not None:
            return _one(boxed, last=True)
        if self.find in ("auto", "hashes") and "####" in text:
            return _one(re.split("####", text, maxsplit=1)[1], last=False)
        return None if self.find in ("boxed", "hashes") else _one(text, last=self.find != "first")

    def _is_equal(self, found: Number, wanted: Number) -> bool:
        values = {found.value}
        if found.percent != wanted.percent:  # one of them has said percent, and the other may have left it out
            values.add(found.value * 100 if found.percent else found.value / 100)
        room = abs(wanted.value) * Fraction(self.tolerance)
        return any(abs(value - wanted.value) <= room for value in values)


def _one(text: str, *, last: bool) -> Number | None:
    numbers = numbers_in(text)
    return numbers[-1 if last else 0] if numbers else None


def _boxed(text: str) -> str | None:
    """Return what stands in the last box; None if there is none. Braces within it are part of it."""
    start = text.rfind(_BOXED)
    if start < 0:
        return None
    depth = 1
    for place in range(start + len(_BOXED), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start + len(_BOXED) : place]
    return text[start + len(_BOXED) :]  # it was not closed in the room that there was
