"""Family "task": what `llmkit eval` measures, one module each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from llmkit.core.config import NotIdentity
from llmkit.core.registry import Part

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs
    from llmkit.core.progress import Progress
    from llmkit.evaluation.model import EvalModel


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
    """A measurement of one model on one set of data."""

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

    def run(self, model: EvalModel, progress: Progress) -> TaskResult:
        """Measure a model; `progress` counts samples."""
        raise NotImplementedError
