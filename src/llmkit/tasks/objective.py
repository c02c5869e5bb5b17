"""The loss and the accuracy of what a model was pretrained to do, on held-out tokens: masked tokens, spans, sentences.

Blocks are packed, masked and scored as pretraining validates: of the same tokens the loss is that of its last
validation, but for the number format, which is float32 here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import Field
from pydantic_core import PydanticCustomError

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.registry import Family
from llmkit.data.artifacts import Tokens
from llmkit.evaluation.asked import positions_of, tokenizer_here
from llmkit.evaluation.reading import ROLE, shown
from llmkit.objectives.documents import DocumentObjective
from llmkit.objectives.documents._plans import PackingChoice, packing_of, plan_of
from llmkit.runtimes import Losses, LossesFound, Request, Running
from llmkit.tasks import DataTask, Measurement, TaskResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmkit.core.inputs import Inputs
    from llmkit.data.feeds import HeldOut
    from llmkit.evaluation.measures import Measure

RECORDED = ("objective", "context_length", "packing", "seed")
"""What a pretraining's config says of how its model is validated."""
SET_IT = "say what it does: -s tasks.0.objective=masked_lm"


class Objective(DataTask):
    """Score held-out blocks of a token artifact by the objective that a model was pretrained with, or by another."""

    example: ClassVar[Request] = Losses(None, {})
    artifacts: ClassVar[tuple[str, ...]] = ("tokens",)

    objective: Annotated[DocumentObjective | Literal["auto"], Family("document_objective", also=("auto",))] = "auto"
    """What is measured; auto: what the model's directory says that it was pretrained to do."""
    split: Literal["train", "validation", "test"] = "test"
    """Which split of the tokens."""
    context_length: int | None = Field(None, ge=2)
    """Positions of a block; null for those of the model's pretraining, else all that it has."""
    packing: PackingChoice | None = None
    """How documents become blocks, as in `pretrain`; null for how it was in the model's pretraining, else auto."""
    seed: int | None = Field(None, ge=0)
    """Seed of what is masked, cut or swapped; null for that of the model's pretraining, else 0."""

    def add_input(self, inputs: Inputs) -> None:
        """Add the tokens; raw text is none."""
        inputs.add_artifact(Path(self.data.root()), self.artifacts, role=ROLE)

    def on(self, model: Running) -> _Objective:
        """Return the measurement of one model."""
        return _Objective(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return the loss and the accuracy; of several parts also those of each."""
        parts = list(dict.fromkeys(name for sample in samples for name in sample["parts"]))
        own: dict[str, Measure] = {}
        for name in parts:
            of_part = [sample["parts"].get(name, _NONE) for sample in samples]
            ending = f"_{name}" if len(parts) > 1 else ""
            own |= {f"{score}{ending}": measure for score, measure in _of_part(of_part).items()}
        return own if len(parts) < 2 else {"loss": _weighted(samples, parts), **own}


_NONE: Mapping[str, Any] = {"nats": 0.0, "targets": 0, "hits": 0, "weight": 1.0}


def _of_part(samples: Sequence[Mapping[str, Any]]) -> dict[str, Measure]:
    from llmkit.evaluation.measures import ratio

    targets = [sample["targets"] for sample in samples]
    found: dict[str, Measure] = {}
    if sum(targets):
        found["loss"] = ratio([sample["nats"] for sample in samples], targets, higher_is_better=False)
        if all(sample["hits"] is not None for sample in samples):
            found["acc"] = ratio([sample["hits"] for sample in samples], targets)
    return found


def _weighted(samples: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> Measure:
    """Return the sum of the parts' means, each with its weight."""
    import numpy as np

    from llmkit.evaluation.measures import Sums

    rows = [[sample["parts"].get(name, _NONE) for name in parts] for sample in samples]
    weights = [max((row[i] for row in rows), key=lambda part: part["targets"])["weight"] for i in range(len(parts))]
    statistics = np.array([[*(part["nats"] for part in row), *(part["targets"] for part in row)] for row in rows])

    def of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        means = sums[..., : len(parts)] / np.maximum(sums[..., len(parts) :], 1)
        total: NDArray[np.float64] = means @ np.array(weights)
        return total

    return Sums(statistics, of, higher_is_better=False)


@dataclass(frozen=True)
class _Row:
    number: int
    request: Losses


class _Objective(Measurement):
    """Losses of held-out blocks."""

    def __init__(self, task: Objective, model: Running) -> None:
        from llmkit.modeling.vocabulary import vocabulary_of

        super().__init__(model)
        self.task, self.vocabulary = task, vocabulary_of(tokenizer_here(model))
        recorded = _recorded(model.where)
        self.objective = _objective(task, recorded, model)
        if reason := model.takes(Losses(self.objective, {})):
            why, _, instead = reason.partition("\n")
            raise ConfigError(
                f"tasks.objective: {why}", instead or "-s tasks.0.objective=NAME: what the model was trained with"
            )
        self.context_length = task.context_length or recorded.get("context_length") or positions_of(model)
        if (limit := model.facts.positions) is not None and self.context_length > limit:
            raise ConfigError(
                f"tasks.context_length: {self.context_length} is over the {limit} positions of the model",
                f"-s tasks.0.context_length={limit}",
            )
        self.packing = packing_of(self.objective, task.packing or recorded.get("packing") or "auto")
        self.seed = task.seed if task.seed is not None else recorded.get("seed", 0)

    @cached_property
    def held_out(self) -> HeldOut:
        """The blocks."""
        from llmkit.data.mixture import held_out_of
        from llmkit.data.token_reader import TokenSplit
        from llmkit.modeling.tokenizer import tokenizer_digest

        tokens = Path(self.task.data.root())
        if Tokens(tokens).facts["tokenizer_digest"] != tokenizer_digest(tokenizer_here(self.model)):
            raise DataError(
                f"tasks.data: {shown(self.task.data)} was made with another tokenizer than the model's",
                f"llmkit tokenize -i CORPUS -o OTHER -s 'tokenizer={{type: existing, path: {self.model.where}}}'",
            )
        self.objective.check(self.vocabulary)
        plan = plan_of(self.objective, self.vocabulary, context_length=self.context_length, packing=self.packing)
        found = held_out_of([tokens], plan, self.task.split)
        if found is None:
            TokenSplit(tokens, self.task.split)  # says which splits there are
        assert found is not None
        return found

    def rows(self) -> Iterator[_Row]:
        """Yield the blocks, collated."""
        for number in islice(range(self.held_out.num_blocks), self.task.limit):
            tensors, targets = self.objective.collate(self.held_out.blocks([number]), self.vocabulary, self.seed)
            inputs = {name: tensor[0].numpy() for name, tensor in tensors.items()}
            yield _Row(number, Losses(self.objective, targets, inputs=inputs))

    def requests(self, row: _Row) -> list[Losses]:
        """Ask for a block."""
        return [row.request]

    def score(self, row: _Row, answers: Sequence[LossesFound]) -> dict[str, Any]:
        """Return sums over the targets of each part, and the loss of the block."""
        (found,) = answers
        targets = row.request.targets
        sums = zip(found.parts, found.nats, found.hits, found.weights, strict=True)
        parts = {
            name: {"nats": nats, "targets": targets[name], "hits": hits, "weight": weight}
            for name, nats, hits, weight in sums
        }
        means = zip(found.parts, found.nats, found.weights, strict=True)
        loss = sum(weight * nats / max(targets[name], 1) for name, nats, weight in means)
        return {"id": f"{self.task.split}:{row.number}", "loss": loss, "parts": parts}

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return loss and accuracy."""
        measures = self.task.measures(samples)
        facts = {
            "objective": self.objective.record(), "context_length": self.context_length, "packing": self.packing,
            "seed": self.seed, "targets": sum(part["targets"] for one in samples for part in one["parts"].values()),
        }  # fmt: skip
        notes = [] if any(name.startswith("acc") for name in measures) else ["no accuracy: its loss is all it says"]
        return TaskResult.of(measures, samples, facts, notes)


def _recorded(where: str) -> Mapping[str, Any]:
    """Return what the directory of a model says of its pretraining; nothing of other models."""
    from llmkit.core.manifest import read_manifest

    manifest = read_manifest(Path(where)) if where else None
    written = {} if manifest is None else manifest.config.get("written", {})
    return {name: written[name] for name in RECORDED if name in written}


def _objective(task: Objective, recorded: Mapping[str, Any], model: Running) -> DocumentObjective:
    if task.objective != "auto":
        return task.objective
    if "objective" not in recorded:
        raise ConfigError(
            f"tasks.objective: {model.where or 'the model'} does not say what it was pretrained to do", SET_IT
        )
    try:
        return cast("DocumentObjective", Family("document_objective").parse(recorded["objective"]))
    except (ConfigError, PydanticCustomError) as error:
        named = recorded["objective"].get("type")
        raise ConfigError(
            f"tasks.objective: {model.where} was trained on '{named}', which is no objective over documents", SET_IT
        ) from error
