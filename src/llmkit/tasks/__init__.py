"""Family "task": what `llmkit eval` measures, one module each.

A task runs no model: it says what is to be asked of one, and what the answers are worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from llmkit.core.registry import Family, Part
from llmkit.data.sources import Source
from llmkit.runtimes import Request, Running

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs
    from llmkit.evaluation.figures import Figure
    from llmkit.evaluation.kept import Kept
    from llmkit.evaluation.measures import Measure

NAME = r"^\w[\w.-]*$"
"""Names of tasks are parts of files' names."""


@dataclass
class TaskResult:
    """What a task found for one model.

    Attributes:
        scores: Score name -> value.
        num_samples: How many documents or rows were scored.
        samples: One JSON object per sample, for `samples-TASK.jsonl`.
        facts: What else the scores rest on, such as the prompt format.
        notes: Sentences for people: what was skipped, and which scores there are not, and why.
        measures: What the scores rest on, by their names: of these the stage says how sure they are.
        estimates: How sure scores are that have no measure, by their names, as `Estimate.facts` says it.
    """

    scores: dict[str, float]
    num_samples: int
    samples: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    measures: dict[str, Measure] = field(default_factory=dict)
    estimates: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        measures: Mapping[str, Measure],
        samples: list[dict[str, Any]],
        facts: dict[str, Any] | None = None,
        notes: list[str] | None = None,
    ) -> Self:
        """Return the result whose scores are the values of measures."""
        scores = {name: measure.value for name, measure in measures.items()}
        return cls(scores, len(samples), samples, facts or {}, notes or [], dict(measures))


class Task(Part):
    """A measurement of models.

    Attributes:
        example: A request such as it makes: a model that cannot answer it is refused before anything is asked.
        asking: Fields that say how it asks, and nothing of what is asked about or how answers are scored: runs that
            differ in them alone can be compared.
    """

    example: ClassVar[Request]
    asking: ClassVar[frozenset[str]] = frozenset()

    name: str | None = Field(None, pattern=NAME, max_length=100)
    """What it is called in the results; by default its type, or the name of the file that it is in."""

    @property
    def title(self) -> str:
        """What it is called in results; of several of one type without names the later ones get numbers."""
        return self.name or self.type_name

    def chatting(self, chat: Literal["auto", "on", "off"]) -> Self:
        """Return the task as it is asked where `--chat` says how, and it says nothing itself."""
        if "chat" not in type(self).model_fields or "chat" in self.model_fields_set:
            return self
        return self.model_copy(update={"chat": chat})

    def add_input(self, inputs: Inputs) -> None:
        """Add what the task reads to the inputs of the run.

        Raises:
            DataError: It is missing or of another kind.
        """

    def on(self, model: Running) -> Measurement:
        """Return the measurement of one model; it looks at the model's tokenizer and facts, and asks nothing."""
        raise NotImplementedError

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:  # noqa: ARG002 - the interface
        """Return the scores of samples, by name, with what they rest on.

        A function of the task's fields and of samples as `samples-TASK.jsonl` has them, so that `llmkit compare` can
        put two runs' scores to a test. A task that does not define it has scores without intervals.
        """
        return {}

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:  # noqa: ARG002 - the interface
        """Return what the report draws of one model's samples beside the scores, such as a confusion matrix."""
        return []


class DataTask(Task):
    """A measurement of models on one set of data.

    Attributes:
        artifacts: Kinds of artifacts that `data` may be.
    """

    artifacts: ClassVar[tuple[str, ...]] = ("examples",)

    data: Annotated[Source, Family("source", shorthand=("files", "path"))]
    """What to measure on: an artifact, or whatever `clean` reads."""
    limit: int | None = Field(None, ge=1)
    """Take only the first so many samples; null for all."""

    def add_input(self, inputs: Inputs) -> None:
        """Add the data."""
        from llmkit.evaluation.reading import add_source

        add_source(self.data, inputs, self.artifacts)


class Measurement:
    """A task on one model. The engine calls `rows` once, then `score` for each of them in order, then `summary`.

    Attributes:
        timed: It measures how long the model takes: it asks by itself, in `run`, when nothing else is being asked.
        kept: Where the answers of this run are kept, for what else a run that goes on need not do again.

    Args:
        model: What is measured.
    """

    timed: ClassVar[bool] = False
    kept: Kept

    def __init__(self, model: Running) -> None:
        self.model = model

    def rows(self) -> Iterator[Any]:
        """Yield what is asked about, whatever it is; rows that are not asked about are counted.

        Raises:
            DataError: There is nothing to ask.
        """
        raise NotImplementedError

    def shown(self, row: Any) -> str:  # noqa: ARG002 - for those that have a prompt
        """Return a row's prompt as it is sent, for people; "" where there is none."""
        return ""

    def requests(self, row: Any) -> Sequence[Request]:
        """Return what to ask about a row."""
        raise NotImplementedError

    def score(self, row: Any, answers: Sequence[Any]) -> dict[str, Any]:
        """Return the sample: what `samples-TASK.jsonl` says of a row."""
        raise NotImplementedError

    def run(self) -> list[dict[str, Any]]:
        """Ask, and return the samples, where it is `timed`; nothing of it is kept."""
        raise NotImplementedError

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the scores of all samples, which are never none."""
        raise NotImplementedError
