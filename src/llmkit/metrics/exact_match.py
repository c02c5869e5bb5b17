"""Exact match: the share of predictions that equal a reference, once what does not matter is taken out of both."""

from __future__ import annotations

import re
import string
import unicodedata
from typing import TYPE_CHECKING, ClassVar

from pydantic import field_validator

from llmkit.metrics import TextMetric
from llmkit.text.characters import UNSPACED, character_table, code_points

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.IGNORECASE)
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DIGITS = str.maketrans("", "", string.digits)


class ExactMatch(TextMetric):
    r"""Count the predictions that equal one of their references.

    The score is `exact_match`. What is ignored is taken out of both sides, in the order of the fields. With
    `ignore_spaces: false` these are the numbers of lm-evaluation-harness's `exact_match` on the same texts. `eval`
    compares answers without the blanks at their ends; `remove: ["^\s+", "\s+$"]` here, and the same as
    `regexes_to_ignore` there, make both equal. `squad` is the metric for SQuAD's own rules.
    """

    says: ClassVar[str] = "Share of predictions that equal a reference, 0 to 100."

    remove: list[str] = []
    """Regular expressions; what they match is taken out: `["\\\\$", ","]`."""
    ignore_case: bool = False
    """Take `Paris` for `paris`."""
    ignore_punctuation: bool = False
    """Leave out punctuation: that of ASCII, and in a text with characters of a script without spaces, such as Chinese,
    that of all scripts."""
    ignore_numbers: bool = False
    """Leave out the digits 0 to 9."""
    ignore_articles: bool = False
    """Leave out the words a, an and the."""
    ignore_spaces: bool = True
    """White space at both ends does not count, nor how much of it is within."""

    @field_validator("remove")
    @classmethod
    def _compiles(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is no regular expression: {error}") from None
        return patterns

    def of_pairs(self, predictions: list[str], references: list[list[str]]) -> dict[str, Measure]:
        """Return exact_match."""
        from llmkit.evaluation.measures import mean

        pairs = zip(predictions, references, strict=True)
        equal = [self.compared(text) in map(self.compared, options) for text, options in pairs]
        return {"exact_match": mean([100.0 * one for one in equal])}

    def compared(self, text: str) -> str:
        """Return what of a text is compared."""
        for pattern in self.remove:
            text = re.sub(pattern, "", text)
        if self.ignore_case:
            text = text.lower()
        if self.ignore_punctuation:
            text = _without_punctuation(text)
        if self.ignore_numbers:
            text = text.translate(_DIGITS)
        if self.ignore_articles:
            text = _ARTICLES.sub("", text)
        return " ".join(text.split()) if self.ignore_spaces else text


def _without_punctuation(text: str) -> str:
    if text.isascii() or not (character_table().info[code_points(text)] & UNSPACED).any():
        return text.translate(_ASCII_PUNCTUATION)
    return "".join(
        char for char in text.translate(_ASCII_PUNCTUATION) if not unicodedata.category(char).startswith("P")
    )
