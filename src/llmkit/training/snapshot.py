"""What a checkpoint holds, before it is written: how far a run is, and its tensors or copies of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch

from llmkit.core.json import dumps
from llmkit.data.feeds import State
from llmkit.modeling.load import frozen_names
from llmkit.training.placement import gather, is_split


@dataclass
class TrainState:
    """How far a run is.

    Attributes:
        step: Optimizer steps done.
        tokens: Tokens trained on.
        elapsed_s: Seconds of training, over all interruptions.
        resolved: Every `auto`, as this run resolved it; a resumed run takes these over.
        losses: Of the steps since the last regular line of metrics.jsonl, so that the next line's mean covers them.
        best: What is compared of validations, the lower the better: the best so far.
        best_step: Step of that one; -1 before the first.
        worse: Validations in a row without a better one.
        validated: Step of the last validation that is counted in these two; -1 before the first.
        ended: Why the run ended before its budget; empty while it goes on.
    """

    step: int
    tokens: int
    elapsed_s: float
    resolved: dict[str, Any]
    losses: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    worse: int = 0
    validated: int = -1
    ended: str = ""
    best_step: int = -1

    def count_validation(self, loss: float) -> None:
        """Take note of a validation at this step; one that a resumed run repeats counts once."""
        if self.validated == self.step:
            return
        self.validated = self.step
        if self.best is None or loss < self.best:
            self.best, self.best_step, self.worse = loss, self.step, 0
        else:
            self.worse += 1


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint holds: tensors that training goes on changing, or copies of them."""

    weights: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any]
    state: TrainState
    feed: State
    by_time: bool = False

    @classmethod
    def of(
        cls,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        state: TrainState,
        feed: State,
        *,
        copy: bool,
        by_time: bool = False,
    ) -> Self:
        """Take a model, its optimizer and what a feed has generated; a copy costs their memory once more.

        Weights that are not trained are left out: they are those of the model that the run has started from.
        """
        # Tied weights are one tensor under two names, which safetensors refuses: the names are stored once.
        if is_split(model):
            weights, moments = gather(model, optimizer)
        else:
            weights, moments = trained_weights(model), optimizer.state_dict()
        if copy:
            weights, moments = _copied(weights), _copied(moments)
            state = TrainState(**json.loads(dumps(asdict(state))))
            feed = {name: array.copy() for name, array in feed.items()}
        return cls(weights, moments, state, feed, by_time)


def trained_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of a whole model that are trained, tied ones once; not copied."""
    frozen = frozen_names(model)
    return _untied({name: tensor for name, tensor in model.state_dict().items() if name not in frozen})


def _untied(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    seen: set[int] = set()
    unique = {}
    for name, tensor in weights.items():
        if tensor.data_ptr() not in seen or tensor.numel() == 0:
            unique[name] = tensor.contiguous()
            seen.add(tensor.data_ptr())
    return unique


def _copied(value: Any) -> Any:
    """Copy the tensors of nested containers, to memory that training does not change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value
