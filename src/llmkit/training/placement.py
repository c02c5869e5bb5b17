"""Put a model where it is trained, whole or in parts; put whole tensors together again for checkpoints and the result.

A model may be sharded (shard.py), its matrices split (tensor.py), its blocks cut into stretches (sequence.py). What is
saved has whole tensors all the same, so that any number of processes can go on from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from llmkit.modeling.load import frozen_names
from llmkit.training.parallel import Plan
from llmkit.training.sequence import SequenceSplit
from llmkit.training.shard import check_sharding, shard_module
from llmkit.training.tensor import (
    SplitLinear,
    cut,
    join,
    join_squares,
    make_linear,
    split_axes,
    split_matrices,
    tensor_group,
)

if TYPE_CHECKING:
    from llmkit.core.console import Console
    from llmkit.training.config import TrainingConfig
    from llmkit.training.gradients import LossModule


def place(module: LossModule, config: TrainingConfig, plan: Plan, device: torch.device, console: Console) -> None:
    """Bring a model to where it is trained, whole or in parts.

    Raises:
        ConfigError: The model cannot be split so, or cannot do in parts what the config asks for.
    """
    check_sharding(config)
    if plan.tensor > 1 or plan.context > 1:
        sizes = (plan.data * plan.shard, plan.context, plan.tensor)
        mesh = init_device_mesh(device.type, sizes, mesh_dim_names=("readers", "context", "tensor"))
        if plan.context > 1:
            group = mesh.get_group("context")
            module.sequence = SequenceSplit(module.model, group, config.context_length, tensor=plan.tensor)
            if module.routers is not None:
                module.routers.group = group
        if plan.tensor > 1:
            split_matrices(module.model, mesh.get_group("tensor"))
    if plan.shard * plan.context == 1:
        module.to(device)
    else:
        shard_module(module, plan, device=device, cpu_offload=config.parallel.cpu_offload)
        console.info(f"weights, gradients and optimizer state are shared by {plan.shard * plan.context} processes")
    if plan.tensor > 1:
        console.info(f"matrices are split among {plan.tensor} processes")
    if module.routers is not None:
        weighed = " and ".join(f"{weight:g} x loss_{part}" for part, weight in module.routers.weights.items())
        console.info(f"the model has routers: {weighed} is a part of the loss")
    if plan.context > 1:
        console.info(f"the positions of a block are shared by {plan.context} processes")
    if config.parallel.splits:
        console.info("no sample texts are written")


def is_split(module: torch.nn.Module) -> bool:
    """Tell whether a module is in parts, over processes."""
    return any(isinstance(part, FSDPModule | SplitLinear) for part in module.modules())


def total_norm(model: torch.nn.Module, *, of_gradients: bool) -> float:
    """Return the Euclidean norm of all trained weights, or of their gradients; every process calls it."""
    axes, group = split_axes(model), tensor_group(model)
    parts: list[torch.Tensor] = []
    rest: list[torch.Tensor] = []
    for name, parameter in model.named_parameters():
        tensor = parameter.grad if of_gradients else parameter.data
        if tensor is not None and parameter.requires_grad:
            (parts if name in axes else rest).append(tensor)
    norm = float(_whole(torch.nn.utils.get_total_norm(rest)))
    if group is None:
        return norm
    of_parts = float(_whole(torch.nn.utils.get_total_norm(parts)))
    return math.sqrt(norm**2 + join_squares(of_parts**2, group, next(model.parameters()).device))


def clip_gradients(model: torch.nn.Module, max_norm: float) -> float:
    """Scale the gradients down to a norm, and return what it was."""
    norm = total_norm(model, of_gradients=True)
    torch.nn.utils.clip_grads_with_norm_(model.parameters(), max_norm, torch.tensor(norm))
    return norm


def gather(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return whole trained weights, tied ones once, and optimizer state, as one process would save them.

    All processes call it; the first gets them, in the machine's memory, the others nothing. One tensor at a time is
    whole on every process.
    """
    axes, group = split_axes(model), tensor_group(model)
    once = {name for name, _ in model.named_parameters()}
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - once
    left_out = tied | frozen_names(model)
    weights = {
        name: _gathered(tensor, axes.get(name), group)
        for name, tensor in model.state_dict().items()
        if name not in left_out
    }
    stored, axis_of = optimizer.state_dict(), _axes_by_index(model, optimizer)
    state = {
        index: {
            key: _gathered(value, axis_of.get(index) if _is_moment(value) else None, group)
            for key, value in moments.items()
        }
        for index, moments in stored["state"].items()
    }
    return weights, {**stored, "state": state}


def make_whole(module: LossModule) -> None:
    """Replace parts by whole parameters, after training; all processes call it, only the first has them then."""
    if module.sequence is not None:
        module.sequence.undo()
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()  # after a validation without a backward pass the root is whole still
    done: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
    for part in module.modules() if is_split(module) else ():
        for name, parameter in list(part.named_parameters(recurse=False)):
            if parameter not in done:
                axis = part.axes.get(name) if isinstance(part, SplitLinear) else None
                tensor = _gathered(parameter.data, axis, getattr(part, "group", None))
                done[parameter] = torch.nn.Parameter(tensor, parameter.requires_grad) if _leads() else parameter
            part.register_parameter(name, done[parameter])
    if _leads():
        make_linear(module)


def scatter_weights(weights: Mapping[str, torch.Tensor], model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return each whole weight as this process's part of it, where the model has but a part."""
    own, axes, group = model.state_dict(), split_axes(model), tensor_group(model)
    local = {name: cut(tensor, axes.get(name), group) if group else tensor for name, tensor in weights.items()}
    return {name: _part(tensor, own.get(name)) for name, tensor in local.items()}


def scatter_moments(stored: dict[str, Any], model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return an optimizer's stored state with tensors of a parameter's shape in parts as the parameter is."""
    if "state" not in stored or not is_split(model):
        return stored
    parameters, axis_of, group = _parameters(optimizer), _axes_by_index(model, optimizer), tensor_group(model)

    def local(index: int, value: Any) -> Any:
        part = cut(value, axis_of.get(index), group) if group is not None and _is_moment(value) else value
        return _part(part, parameters.get(index))

    state = {
        index: {key: local(index, value) for key, value in moments.items()}
        for index, moments in stored["state"].items()
    }
    return {**stored, "state": state}


def _parameters(optimizer: torch.optim.Optimizer) -> dict[int, torch.nn.Parameter]:
    return dict(enumerate(parameter for group in optimizer.param_groups for parameter in group["params"]))


def _axes_by_index(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[int, int | None]:
    """Return, for every parameter of an optimizer, the axis along which it is split."""
    axes = split_axes(model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {index: axes.get(names[parameter]) for index, parameter in _parameters(optimizer).items()}


def _is_moment(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 0


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _part(value: Any, like: torch.Tensor | None) -> Any:
    if isinstance(value, torch.Tensor) and isinstance(like, DTensor) and value.shape == like.shape:
        # Every process has read the whole from the file: nothing is sent.
        return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    return value


def _gathered(value: Any, axis: int | None, group: torch.distributed.ProcessGroup | None) -> Any:
    """Return a whole tensor on the first process, in the machine's memory; the others only send their part."""
    if not isinstance(value, torch.Tensor):
        return value
    tensor = _whole(value.detach())
    is_new = isinstance(value, DTensor)
    if axis is not None and group is not None:
        tensor, is_new = join(tensor, axis, group), True
    return tensor.to("cpu", copy=not is_new).contiguous() if _leads() else None


def _leads() -> bool:
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
