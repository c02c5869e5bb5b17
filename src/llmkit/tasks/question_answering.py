"""Answers that stand in a text, as SQuAD 1 and 2 count them (Rajpurkar et al. 2016, 2018), Chinese by characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from llmkit.evaluation.measures import mean
from llmkit.runtimes import Request, Running, Span
from llmkit.tasks import Measurement, TaskResult
from llmkit.tasks._headed import Headed, HeadTask, key_of_text

if TYPE_CHECKING:
    from llmkit.evaluation.figures import Figure
    from llmkit.evaluation.measures import Measure
    from llmkit.evaluation.reading import Item
    from llmkit.runtimes import SpanFound

MEASURED = ("exact_match", "f1")
LONGEST = "longest_f1"
"""The F1 of CMRC 2018, beside that of SQuAD."""


class QuestionAnswering(HeadTask):
    """Ask a model where in a text the answer to a question stands, or whether there is none.

    The model is one with a head for spans: `finetune -s objective=question_answering`. A text that is too long is read
    in windows, as the model's config says. Of several references the nearest counts. Questions about one text are drawn
    together for intervals.
    """

    example: ClassVar[Request] = Span("a", "a")
    kinds: ClassVar[tuple[str, ...]] = ("span_answer",)

    no_answer: float | Literal["model", "never"] = "model"
    """From how far above the best span on "no answer" is said, in logits. model: what the model's config says. never:
    there is always an answer."""

    def on(self, model: Running) -> Measurement:
        """Return the measurement of one model."""
        return _QuestionAnswering(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return exact match and F1: of all, of questions with and without an answer, and with the best threshold."""
        from llmkit.metrics._weighted import best_cut

        known = np.array([bool(sample["reference"]) for sample in samples])
        found: dict[str, Measure] = {name: _mean(samples, name) for name in MEASURED}
        if any(LONGEST in sample for sample in samples):
            found[LONGEST] = _mean(samples, LONGEST)
        if known.all():
            return found
        for name in MEASURED if known.any() else ():
            found[f"has_answer_{name}"] = _mean(samples, name, known)
        found["no_answer_exact_match"] = _mean(samples, "exact_match", ~known)
        for name in MEASURED if known.any() else ():
            found[f"best_{name}"] = best_cut(*_choice(samples, name))
        return found

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Return how right answers are by the threshold from which on there is none, where some questions have none."""
        from llmkit.evaluation.figures import Lines, Points

        known = [bool(sample["reference"]) for sample in samples]
        if all(known) or not any(known):
            return []
        lines = {}
        for name in MEASURED:
            margins, base, gains = _choice(samples, name)
            places = np.unique(np.quantile(margins, np.linspace(0, 1, 51)))
            values = [float((base + gains * (margins <= place)).mean()) for place in places]
            lines[name] = Points(places.tolist(), values)
        note = "Above the threshold it is said that there is no answer."
        return [Lines("Threshold of no answer", note, lines=lines, x="threshold", y="score")]


class _QuestionAnswering(Headed):
    def __init__(self, task: QuestionAnswering, model: Running) -> None:
        super().__init__(task, model)
        self.task, self.threshold = task, 0.0

    def rows(self) -> Iterator[Item]:
        """Yield the questions."""
        _, items = self.task.read(self.unreadable)
        yield from self.asked(iter(items))

    def requests(self, row: Item) -> list[Span]:
        """Ask for the answer to a question."""
        return [Span(row.fields["question"], row.fields["context"])]

    def score(self, row: Item, answers: Sequence[SpanFound]) -> dict[str, Any]:
        """Return the answer and the best span, and what both are worth."""
        from llmkit.metrics._squad import exact, is_by_characters, longest_overlap, overlap
        from llmkit.modeling.spans import is_answered

        (found,) = answers
        context, references = row.fields["context"], list(dict.fromkeys(row.fields["answers"]))
        given = self.task.no_answer
        threshold = found.threshold if given == "model" else None if given == "never" else given
        span = context[found.start : found.end]
        said = span if is_answered(found, threshold) else ""
        longest = {LONGEST: longest_overlap(said, references)} if is_by_characters([said, *references]) else {}
        return {
            "id": row.id, "cluster": key_of_text(context), "prompt": row.fields["question"], "context": context,
            **self.cut(self.requests(row)), "reference": references, "prediction": said,
            "exact_match": exact(said, references), "f1": overlap(said, references), **longest, "span": span,
            "span_exact_match": exact(span, references), "span_f1": overlap(span, references),
            "margin": found.none - found.score, "threshold": threshold,
        }  # fmt: skip

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the scores, and the threshold that would be best."""
        from llmkit.metrics._ranking import Order, place_of_cut

        unknown = sum(not sample["reference"] for sample in samples)
        facts: dict[str, Any] = {
            "skipped": self.skipped.total, "no_answer_questions": unknown, "threshold": samples[0]["threshold"],
            "texts": len({sample["cluster"] for sample in samples}),
        }  # fmt: skip
        notes = self.notes()
        if 0 < unknown < len(samples):
            margins, _, gains = _choice(samples, "f1")
            facts["best_threshold"] = place_of_cut(Order(margins), gains)
            notes.append("best_exact_match and best_f1 are with the threshold that is best on these very questions")
        if any(LONGEST in sample for sample in samples):
            notes.append(
                "Chinese is compared by characters: f1 is that of SQuAD, longest_f1 that of CMRC 2018, of the longest"
                " common stretch"
            )
        return TaskResult.of(self.task.measures(samples), samples, facts, notes)


def _mean(samples: Sequence[dict[str, Any]], name: str, chosen: Any = None) -> Measure:
    """Return the mean of a score over some samples; what has no longest stretch of its own has the F1 of words."""
    values = np.array([sample.get(name, sample["f1"]) for sample in samples], np.float64)
    return mean(values if chosen is None else np.where(chosen, values, np.nan))


def _choice(samples: Sequence[dict[str, Any]], name: str) -> tuple[Any, Any, Any]:
    """Return how far "no answer" is above the best span, what it is worth to say so, and what the span is worth more.

    Each is `[questions]`. To say that there is no answer is right where there is none.
    """
    none = np.array([not sample["reference"] for sample in samples])
    worth = np.array([sample[f"span_{name}"] for sample in samples], np.float64)
    return np.array([sample["margin"] for sample in samples]), none.astype(np.float64), worth - none
