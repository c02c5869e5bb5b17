"""Family "task": what `llmkit eval` measures, one module each.

A task runs no model: it says what is to be asked of one, and what the answers are worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from llmkit.core.config import NotIdentity
from llmkit.core.registry import Part
from llmkit.runtimes import Request, Running

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs


@dataclass
class TaskResult:
    """What a task found for one model.

    Attributes:
        scores: Score name -> value.
        num_samples: How many documents or rows were scored.
        samples: One JSON object per sample, for `samples-TASK.jsonl`.
        facts: What else the scores rest on, such as the prompt format.
        notes: Sentences for people: what was skipped, and which scores there are not, and why.
    """

    scores: dict[str, float]
    num_samples: int
    samples: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Task(Part):
    """A measurement of models on one set of data.

    Attributes:
        example: A request such as it makes: a model that cannot answer it is refused before anything is asked.
    """

    example: ClassVar[Request]

    data: Annotated[str, NotIdentity]
    """Directory of the artifact to measure on."""
    limit: int | None = Field(None, ge=1)
    """Take only the first so many samples; null for all."""

    def add_input(self, inputs: Inputs) -> Path:
        """Add the task's data to the inputs of the run and return its directory.

        Raises:
            DataError: It is missing or of another kind.
        """
        raise NotImplementedError

    def on(self, model: Running) -> Measurement:
        """Return the measurement of one model; it looks at the model's tokenizer and facts, and asks nothing."""
        raise NotImplementedError


class Measurement:
    """A task on one model. The engine calls `rows` once, then `score` for each of them in order, then `summary`.

    Args:
        model: What is measured.
    """

    def __init__(self, model: Running) -> None:
        self.model = model

    def rows(self) -> Iterator[Any]:
        """Yield what is asked about, whatever it is; rows that are not asked about are counted.

        Raises:
            DataError: There is nothing to ask.
        """
        raise NotImplementedError

    def requests(self, row: Any) -> Sequence[Request]:
        """Return what to ask about a row."""
        raise NotImplementedError

    def score(self, row: Any, answers: Sequence[Any]) -> dict[str, Any]:
        """Return the sample: what `samples-TASK.jsonl` says of a row."""
        raise NotImplementedError

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the scores of all samples, which are never none."""
        raise NotImplementedError
