"""Texts that a model writes about held-out rows, and what they are worth beside the references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmkit.metrics import Metric
    from llmkit.runtimes import Generate, Written


@dataclass(frozen=True)
class Question:
    """What the model is asked about a held-out row.

    Attributes:
        request: The ids that a server would ask with.
        source: The text that it is about, for people.
        references: Right answers.
        group: What the names of its measures end with; rows of one group are scored together.
    """

    request: Generate
    source: str
    references: Sequence[str]
    group: str = ""


def measures_of_texts(
    questions: Sequence[Question], answers: Sequence[Written], metrics: Sequence[Metric]
) -> dict[str, float]:
    """Return the scores of all groups, 0 to 100: of each metric, `exact_match`, and `ended` by an end token.

    White space at both ends of a text does not count.
    """
    found: dict[str, float] = {}
    for group in dict.fromkeys(question.group for question in questions):
        pairs = [
            (question, answer) for question, answer in zip(questions, answers, strict=True) if question.group == group
        ]
        texts = [answer.text.strip() for _, answer in pairs]
        references = [[text.strip() for text in question.references] for question, _ in pairs]
        scores: dict[str, float] = {}
        for metric in metrics:
            scores |= metric.load().compute(predictions=texts, references=references)
        equal = sum(text in options for text, options in zip(texts, references, strict=True))
        scores["exact_match"] = 100 * equal / len(texts)
        scores["ended"] = 100 * sum(answer.ended for _, answer in pairs) / len(texts)
        found |= {f"{name}{group}": float(score) for name, score in scores.items()}
    return found
