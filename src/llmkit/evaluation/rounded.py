"""What a model answers with the weights of its export: it tells a wrong graph from weights that are coarse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.evaluation.differences import Differences
from llmkit.evaluation.fresh import Answers, ask
from llmkit.evaluation.limits import FLOOR
from llmkit.evaluation.probes import Probes, Row
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Embed, Generate, Logits, Running

if TYPE_CHECKING:
    from llmkit.modeling.heads import Answer

VECTORS = 4
"""Texts whose vectors are asked for."""


@dataclass(frozen=True)
class Rounded:
    """A model that was asked with the weights that its export has.

    Attributes:
        asked: What both are asked.
        answer: Its kind of answer.
        answers: With what layers read rounded as the runtime of the export rounds it; None of what was not asked.
        share: By what that alone changes the numbers, as a share of their spread: roots of mean squares.
    """

    asked: Probes
    answer: Answer
    answers: Answers
    share: float

    def compare(self, theirs: Answers, times: float) -> dict[str, float]:
        """Return by what an export is off, and may be, as shares of the spread.

        Args:
            theirs: The export's answers.
            times: Of what rounding the inputs of layers changes, what is allowed.
        """
        off = _share_off(self.asked, self.answer, self.answers, theirs)
        return {"off": off, "rounding": self.share, "limit": times * self.share + FLOOR}


def ask_rounded(
    asked: Probes, answer: Answer, running: Running, runtime: str, as_run: AbstractContextManager[object]
) -> Rounded:
    """Ask a model with the weights that its export has, for some of the numbers.

    Args:
        asked: What the model and its export are asked.
        answer: The model's kind of answer.
        running: The model, with those weights.
        runtime: Name of what runs it, for errors.
        as_run: Within it layers read what they read in the export's runtime, rounded.

    Raises:
        NotFiniteError: An answer is no number.
    """
    some = _some(asked)
    numbers = replace(asked, requests=[asked.requests[i] for i in some], texts=(), chats=())

    def ask_some() -> Answers:
        found = ask(running, numbers, runtime)
        given: list[Any] = [None] * len(asked.requests)
        for place, one in zip(some, found.given, strict=True):
            given[place] = one
        return finite(asked, replace(found, given=given))

    whole = ask_some()
    with as_run:
        rounded = ask_some()
    return Rounded(asked, answer, rounded, _share_off(asked, answer, whole, rounded))


def wrong_graph(where: Path, graph: dict[str, float]) -> str:
    """Say that it is not rounding by which an export answers otherwise.

    Args:
        where: The model's directory.
        graph: Of `Rounded.compare`.
    """
    return (
        f"the export does not compute what {where} would with the same rounded weights: its numbers are off by"
        f" {graph['off']:.1%} of their spread (at most {graph['limit']:.1%} allowed, since rounding what layers read"
        f" changes {graph['rounding']:.1%})"
    )


def numbers_of(asked: Probes, *sides: Answers) -> Iterator[tuple[Row | None, Any, Any]]:
    """Yield rows, and what each side says of them in float32; texts that vectors are asked of have no row."""
    import numpy as np

    rows = iter(asked.rows)
    for number, request in enumerate(asked.requests):
        if isinstance(request, Generate):
            continue
        row = next(rows) if isinstance(request, Logits) else None
        given = [side.given[number] for side in sides]
        if not any(each is None for each in given):
            one, other = (np.asarray(each, np.float32) for each in given)
            yield row, one, other


def finite(asked: Probes, answers: Answers) -> Answers:
    """Return answers whose numbers all are numbers.

    Raises:
        NotFiniteError: One is not.
    """
    import numpy as np

    if not all(np.isfinite(one).all() for _, one, _ in numbers_of(asked, answers, answers)):
        raise NotFiniteError("a number is NaN or infinite")
    return answers


def _some(asked: Probes) -> list[int]:
    """Return the places of a few requests: a short random row, the long one, a text; and some texts for vectors."""
    places = [i for i, request in enumerate(asked.requests) if isinstance(request, Logits)]
    random = [i for i, row in zip(places, asked.rows, strict=True) if not row.num_bytes]
    text = places[len(random) :]
    vectors = [i for i, request in enumerate(asked.requests) if isinstance(request, Embed)]
    return sorted({*random[:1], *random[-1:], *text[:1], *vectors[:VECTORS]})


def _share_off(asked: Probes, answer: Answer, ours: Answers, theirs: Answers) -> float:
    found = Differences(answer)
    for row, one, other in numbers_of(asked, ours, theirs):
        found.add(row, one, other, scored=False)
    return found.share_off
