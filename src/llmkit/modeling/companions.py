"""The models of a training: the one that is trained, and those beside it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Companion:
    """A model beside the trained one, as an objective asks for it.

    Attributes:
        origin: Where it comes from: `start`, a copy of the model as training begins, or the directory of a model.
        trained: It is trained beside the model: it has groups of its own in the optimizer, and is in checkpoints. If
            not, it is frozen, and in neither.
        lr_factor: Learning rate of a trained one, in relation to the model's.
    """

    origin: str = "start"
    trained: bool = False
    lr_factor: float = 1.0


@dataclass(frozen=True)
class Models:
    """The models that a loss is computed with.

    Attributes:
        main: The trained model.
        companions: Models beside it by name, such as `reference`.
        asked: What the objective asked for, by the same names.
    """

    main: PreTrainedModel
    companions: Mapping[str, PreTrainedModel] = field(default_factory=dict)
    asked: Mapping[str, Companion] = field(default_factory=dict)

    def __getitem__(self, name: str) -> PreTrainedModel:
        return self.companions[name]

    def __iter__(self) -> Iterator[PreTrainedModel]:
        yield self.main
        yield from self.companions.values()

    @property
    def beside(self) -> dict[str, PreTrainedModel]:
        """The companions that are trained."""
        return {name: model for name, model in self.companions.items() if self.asked[name].trained}

    @property
    def frozen(self) -> list[PreTrainedModel]:
        """The companions that are not."""
        return [model for name, model in self.companions.items() if not self.asked[name].trained]

    def trained(self) -> torch.nn.Module:
        """Return everything that is trained as one module: the model itself where nothing is trained beside it."""
        return Trained(self) if self.beside else self.main


class Trained(torch.nn.Module):
    """Models that are trained together; names of weights begin with `main.` or a companion's name."""

    def __init__(self, models: Models) -> None:
        super().__init__()
        self.main = models.main
        for name, model in models.beside.items():
            self.add_module(name, model)
        self.lr_factors = {"main": 1.0, **{name: models.asked[name].lr_factor for name in models.beside}}


def have_companions(model: PreTrainedModel, asked: Mapping[str, Companion]) -> Models:
    """Return a model with the companions that an objective asks for; frozen ones are in eval mode.

    Raises:
        DataError: A companion's directory is none of a model.
    """
    assert "main" not in asked, "the trained model has that name"
    from llmkit.modeling.load import load_model

    companions: dict[str, PreTrainedModel] = {}
    for name, companion in asked.items():
        if companion.origin == "start":
            companions[name] = copy.deepcopy(model)
        else:
            companions[name] = load_model(companion.origin)
        if not companion.trained:
            companions[name].eval().requires_grad_(requires_grad=False)
    return Models(model, companions, asked)
