"""Family "optimizer": how gradients become steps, one module each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from llmkit.core.registry import Part

if TYPE_CHECKING:
    import torch


RATES_SHOWN = 8


class Optimizer(Part):
    """What all optimizers have."""

    lr: float = Field(1e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(0.1, ge=0)
    """Decay of matrices, decoupled from the gradient except in `adam` and `sgd`; vectors (norms, biases) have none."""
    decay_embeddings: bool = True
    """Whether embeddings are matrices to be decayed."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Share of the rate of the layer above that each layer has (Clark et al. 2020, "ELECTRA"); 1 for the same rate
    everywhere. What stands behind the last layer has `lr` itself, the last layer this share of it, the embeddings the
    smallest."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this global norm."""

    @abstractmethod
    def build(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of a model's trained parameters; frozen ones are left out, tied ones are there once."""

    def groups(self, model: torch.nn.Module) -> list[dict[str, Any]]:
        """Return the parameters as groups, decayed matrices first; a group without parameters is left out.

        Models that are trained together have groups of their own, each at its own share of the learning rate.
        """
        factors: dict[str, float] | None = getattr(model, "lr_factors", None)
        if factors is None:
            return self._groups(model)
        return [
            {**group, "lr": factor * group.get("lr", self.lr)}
            for name, factor in factors.items()
            for group in self._groups(model.get_submodule(name))
        ]

    def rates(self, model: torch.nn.Module) -> str:
        """Return the peak rates of the layers in words; nothing where all have the same."""
        if self.layer_decay == 1:
            return ""
        from llmkit.training.optimizers._layerwise import depths

        found = depths(model)
        shown = {place.words: self.lr * self.layer_decay**place.below for place in sorted(set(found.values()))}
        names = [f"{words} {rate:.3g}" for words, rate in shown.items()]
        if len(names) > RATES_SHOWN:
            names = [*names[: RATES_SHOWN // 2], "...", *names[-RATES_SHOWN // 2 :]]
        return f"peak rates, each layer {self.layer_decay:g} of the one above: {', '.join(names)}"

    def _groups(self, model: torch.nn.Module) -> list[dict[str, Any]]:
        if self.layer_decay == 1:
            return self._decayed_and_not(model, trained(model))
        from llmkit.training.optimizers._layerwise import depths

        found = depths(model)
        below = sorted({place.below for place in found.values()})  # the highest rate first, which is the one logged
        return [
            {**group, "lr": self.lr * self.layer_decay**depth, "below": depth}
            for depth in below
            for group in self._decayed_and_not(model, [p for p in trained(model) if found[id(p)].below == depth])
        ]

    def _decayed_and_not(
        self, model: torch.nn.Module, parameters: Sequence[torch.nn.Parameter]
    ) -> list[dict[str, Any]]:
        decayed: list[torch.nn.Parameter] = []
        rest: list[torch.nn.Parameter] = []
        embeddings = embedding_ids(model)
        matrices = matrix_ids(model)
        for parameter in parameters:
            is_decayed = id(parameter) in matrices and (self.decay_embeddings or id(parameter) not in embeddings)
            (decayed if is_decayed else rest).append(parameter)
        found = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        return [group for group in found if group["params"]]


class Joint:
    """Several optimizers that are stepped, saved and restored as one.

    Args:
        optimizers: Each of other parameters.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.optimizers = list(optimizers)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all, in order."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    @property
    def state(self) -> dict[Any, Any]:
        """The state of every parameter."""
        return {key: value for optimizer in self.optimizers for key, value in optimizer.state.items()}

    def step(self) -> None:
        """Step all."""
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return the states, in order."""
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, states: dict[str, Any]) -> None:
        """Restore the states.

        Raises:
            ValueError: They are of other optimizers.
        """
        if len(states.get("optimizers", [])) != len(self.optimizers):
            raise ValueError(f"the state is not of {len(self.optimizers)} optimizers")
        for optimizer, state in zip(self.optimizers, states["optimizers"], strict=True):
            optimizer.load_state_dict(state)


def trained(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the parameters that are trained, tied ones once."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def matrix_ids(model: torch.nn.Module) -> set[int]:
    """Return the identities of the matrices (and convolutions), embeddings included.

    Vectors may be stacked: the biases of a layer's experts, the rates at which Mamba's channels forget.
    """
    vectors = ("bias", "A_log")
    return {
        id(parameter)
        for name, parameter in model.named_parameters()
        if parameter.ndim >= 2 and not name.endswith(vectors)
    }


def embedding_ids(model: torch.nn.Module) -> set[int]:
    """Return the identities of the matrices that are rows per token or position: embeddings and the output layer.

    Rows that an adapter adds to an embedding are such as well.
    """
    import torch

    found = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    found |= {id(parameter) for name, parameter in model.named_parameters() if "trainable_tokens_delta" in name}
    for part in model.children() if hasattr(model, "lr_factors") else [model]:
        head = getattr(part, "get_output_embeddings", lambda: None)()
        found |= set() if head is None else {id(head.weight)}
    return found


def restore(optimizer: torch.optim.Optimizer, stored: dict[str, Any]) -> None:
    """Take over the state of a saved optimizer of the same type; settings such as the learning rate stay this one's.

    Raises:
        ValueError: It is of another type, or of other parameters.
    """
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    saved = [group for state in stored.get("optimizers", [stored]) for group in state["param_groups"]]
    # torch would take any state for groups of these sizes, and fail or go astray at the next step.
    if len(saved) != len(own):
        raise ValueError(f"it has {len(saved)} groups of parameters, not {len(own)}")
    for one, other in zip(own, saved, strict=True):
        if differing := sorted((one.keys() ^ other.keys()) - {"params", "initial_lr"}):
            raise ValueError(f"only one of the two has {', '.join(differing)}")
    optimizer.load_state_dict(stored)
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        parameters = group["params"]
        group.clear()
        group.update({"params": parameters, **settings})


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group to this share of its own peak, and return the first group's learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
    return float(optimizer.param_groups[0]["lr"])


def lowest_lr(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the lowest learning rate as `lr_lowest`, where layers have rates of their own."""
    layered = [float(group["lr"]) for group in optimizer.param_groups if "below" in group]
    return {"lr_lowest": min(layered)} if layered else {}
