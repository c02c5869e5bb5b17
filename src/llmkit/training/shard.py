"""Share weights, gradients and optimizer state among processes: FSDP2 of PyTorch (Zhao et al. 2023, "PyTorch FSDP").

A layer is gathered while it computes. Embedding, head and final norm stay whole from the forward to the end of the
backward pass, since the losses use them outside of any layer. Checkpoints and models hold whole tensors all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from llmkit.core.errors import ConfigError
from llmkit.training.parallel import Plan, layer_classes, plan_parallel

if TYPE_CHECKING:
    from accelerate import Accelerator

    from llmkit.core.console import Console
    from llmkit.training.config import TrainingConfig
    from llmkit.training.gradients import LossModule

OPTIMIZERS = ("adamw", "adam", "sgd")
"""Those that treat every number of a weight for itself; the others need whole matrices."""


def check_sharding(config: TrainingConfig) -> None:
    """Refuse what sharded weights cannot do.

    Raises:
        ConfigError: The optimizer needs whole matrices, or compiling is asked for.
    """
    shard, optimizer = config.parallel.shard, config.optimizer.type_name
    if shard > 1 and optimizer not in OPTIMIZERS:
        raise ConfigError(
            f"optimizer: {optimizer} needs whole matrices, and parallel.shard is {shard}",
            hint=f"use {', '.join(OPTIMIZERS[:-1])} or {OPTIMIZERS[-1]}, or parallel.shard=1",
        )
    if shard > 1 and config.compile is True:
        raise ConfigError(f"compile: sharded models are not compiled, and parallel.shard is {shard}",
                          hint="leave out compile, or parallel.shard")  # fmt: skip


def shard_module(module: LossModule, plan: Plan, *, device: torch.device, cpu_offload: bool) -> None:
    """Shard a model in place: its parameters become DTensors, split along their first axis.

    Gradients are averaged over all processes, as DDP does, and travel with every micro-batch: keeping them whole until
    the last one would need the memory that sharding saves.

    Args:
        module: Model and objective, whole and alike on all processes; the root unit. Every layer is a unit of its own.
        plan: Copies (`data`) of the model, and processes that share one (`shard`).
        device: Where this process computes.
        cpu_offload: Keep weights and optimizer state in the machine's memory; on a CPU they are there.
    """
    if plan.data > 1:
        mesh = init_device_mesh(device.type, (plan.data, plan.shard), mesh_dim_names=("data", "shard"))
    else:
        mesh = init_device_mesh(device.type, (plan.shard,), mesh_dim_names=("shard",))
    policy = CPUOffloadPolicy() if cpu_offload and device.type != "cpu" else OffloadPolicy()
    names = layer_classes(module.model)
    for unit in [part for part in module.modules() if type(part).__name__ in names]:
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, offload_policy=policy)
    fully_shard(module, mesh=mesh, reshard_after_forward=False, offload_policy=policy)


def place(module: LossModule, config: TrainingConfig, accelerator: Accelerator, console: Console) -> None:
    """Bring a model to where it is trained, whole or sharded.

    Raises:
        ConfigError: Sharded weights cannot do what the config asks for.
    """
    parallel = config.parallel
    if parallel.shard == 1:
        module.to(accelerator.device)
        return
    check_sharding(config)
    plan = plan_parallel(parallel, accelerator.num_processes)
    shard_module(module, plan, device=accelerator.device, cpu_offload=parallel.cpu_offload)
    console.info(
        f"weights, gradients and optimizer state are shared by {plan.shard} processes; no sample texts are written"
    )


def is_sharded(module: torch.nn.Module) -> bool:
    """Tell whether a module is, or has, a sharded unit."""
    return any(isinstance(part, FSDPModule) for part in module.modules())


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor with the parts of all processes, which all call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return whole weights, tied ones once, and optimizer state, as one process would save them.

    All processes call it; the first gets them, in the machine's memory, the others nothing. One tensor at a time is
    whole on every process.
    """
    once = {name for name, _ in model.named_parameters()}
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - once
    weights = {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
    return _gathered(weights), _gathered(optimizer.state_dict())


def make_whole(module: torch.nn.Module) -> None:
    """Replace sharded parameters by whole ones, after training; all processes call it, only the first has them then."""
    units = [part for part in module.modules() if isinstance(part, FSDPModule)]
    for unit in units:
        unit.reshard()  # after a validation without a backward pass the root is whole still
    done: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
    for part in module.modules() if units else ():
        for name, parameter in list(part.named_parameters(recurse=False)):
            if parameter not in done:
                tensor = _gathered(parameter.data)
                done[parameter] = torch.nn.Parameter(tensor, parameter.requires_grad) if _leads() else parameter
            part.register_parameter(name, done[parameter])


def scatter_weights(weights: Mapping[str, torch.Tensor], model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return each whole weight as this process's part of it, where the model's own is sharded."""
    own = model.state_dict()
    return {name: _part(tensor, own.get(name)) for name, tensor in weights.items()}


def scatter_moments(stored: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return an optimizer's stored state with tensors of a parameter's shape sharded as the parameter is."""
    parameters = dict(enumerate(parameter for group in optimizer.param_groups for parameter in group["params"]))
    if "state" not in stored or not any(isinstance(parameter, DTensor) for parameter in parameters.values()):
        return stored
    state = {
        index: {key: _part(value, parameters.get(index)) for key, value in moments.items()}
        for index, moments in stored["state"].items()
    }
    return {**stored, "state": state}


def _part(value: Any, like: torch.Tensor | None) -> Any:
    if isinstance(value, torch.Tensor) and isinstance(like, DTensor) and value.shape == like.shape:
        # Every process has read the whole from the file: nothing is sent.
        return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    return value


def _gathered(value: Any) -> Any:
    """Return nested containers with whole tensors on the first process; the others only send theirs."""
    if isinstance(value, torch.Tensor):
        tensor = whole(value.detach())
        return tensor.to("cpu", copy=not isinstance(value, DTensor)).contiguous() if _leads() else None
    if isinstance(value, Mapping):
        return {key: _gathered(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_gathered(item) for item in value)
    return value


def _leads() -> bool:
    return torch.distributed.get_rank() == 0
