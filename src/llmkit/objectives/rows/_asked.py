"""What the answers to questions are worth: the best of each text's windows, and from where on there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llmkit.metrics._squad import best_threshold, exact, overlap
from llmkit.modeling.spans import Chosen, best_of, is_answered
from llmkit.objectives.rows._report import worst

NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Found:
    """What is found in a window, or in all windows of a row.

    Attributes:
        row: Tells windows of one row from others.
        chosen: The best span.
        text: What stands there.
        references: The row's answers.
    """

    row: int
    chosen: Chosen
    text: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """Questions with what is found in their texts.

    Attributes:
        found: By question.
        threshold: From where on there is no answer; None if there always is one.
    """

    found: list[Found]
    threshold: float | None

    @cached_property
    def said(self) -> list[str]:
        """The answers, empty where it is said that there is none."""
        return [one.text if is_answered(one.chosen, self.threshold) else "" for one in self.found]

    @cached_property
    def answerable(self) -> NDArray[np.bool_]:
        """Which questions have an answer."""
        return np.array([bool(one.references) for one in self.found], np.bool_)

    @cached_property
    def exact(self) -> NDArray[np.float64]:
        """Which answers are right."""
        return self._scores(exact)

    @cached_property
    def overlap(self) -> NDArray[np.float64]:
        """How much of the words is right."""
        return self._scores(overlap)

    def _scores(self, score: Callable[[str, Sequence[str]], float]) -> NDArray[np.float64]:
        return np.array([score(said, one.references) for said, one in zip(self.said, self.found, strict=True)])

    def wrong(self, answers: Sequence[Found]) -> list[tuple[int, str]]:
        """Return a window of each wrong answer, the surest first, with what is said and what would be right."""
        window = {one.row: place for place, one in reversed([*enumerate(answers)])}
        picked = [(i, self.found[i]) for i in worst(np.abs(_margins(self.found)), self.exact < 1)]
        return [(window[one.row], f"{_quoted([self.said[i]])}, right: {_quoted(one.references)}") for i, one in picked]


def ask(answers: Sequence[Found], *, no_answers: bool) -> Asked:
    """Return questions with what is found in all of their windows.

    Args:
        answers: What is found in each window.
        no_answers: The model may say that there is no answer, from the threshold on that has the best F1 here.
    """
    rows: dict[int, list[Found]] = {}
    for one in answers:
        rows.setdefault(one.row, []).append(one)
    found = [
        Found(row, best_of(one.chosen for one in parts), max(parts, key=lambda one: one.chosen.score).text,
              parts[0].references)
        for row, parts in rows.items()
    ]  # fmt: skip
    if not no_answers:
        return Asked(found, None)
    worth = np.array([overlap(one.text, one.references) for one in found])
    return Asked(found, best_threshold(_margins(found), worth, Asked(found, None).answerable))


def _margins(found: Sequence[Found]) -> NDArray[np.float64]:
    """Return how far "no answer" is above the best span."""
    return np.array([one.chosen.none - one.chosen.score for one in found], np.float64)


def _quoted(texts: Sequence[str]) -> str:
    return " or ".join(f"'{text}'" for text in dict.fromkeys(texts) if text) or NO_ANSWER
