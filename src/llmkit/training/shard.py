"""Share weights, gradients and optimizer state among processes: FSDP2 of PyTorch (Zhao et al. 2023, "PyTorch FSDP").

A layer is gathered while it computes. Embedding, head and final norm stay whole from the forward to the end of the
backward pass, since the losses use them outside of any layer. Checkpoints and models hold whole tensors all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy, fully_shard

from llmkit.core.errors import ConfigError
from llmkit.training.parallel import Plan, layer_classes

if TYPE_CHECKING:
    from llmkit.training.config import TrainingConfig
    from llmkit.training.gradients import LossModule

OPTIMIZERS = ("adamw", "adam", "sgd")
"""Those that treat every number of a weight for itself; the others need whole matrices."""


def check_sharding(config: TrainingConfig) -> None:
    """Refuse what a model in parts cannot do.

    Raises:
        ConfigError: The optimizer needs whole matrices, or compiling is asked for.
    """
    parallel, optimizer = config.parallel, config.optimizer.type_name
    sizes = {"shard": parallel.shard, "tensor": parallel.tensor, "context": parallel.context}
    split = " and ".join(f"parallel.{name} is {size}" for name, size in sizes.items() if size > 1)
    if split and optimizer not in OPTIMIZERS:
        raise ConfigError(
            f"optimizer: {optimizer} needs whole matrices, and {split}",
            hint=f"use {', '.join(OPTIMIZERS[:-1])} or {OPTIMIZERS[-1]}, or only parallel.data",
        )
    if split and config.compile is True:
        raise ConfigError(f"compile: models in parts are not compiled, and {split}",
                          hint="leave out compile, or use only parallel.data")  # fmt: skip


def shard_module(module: LossModule, plan: Plan, *, device: torch.device, cpu_offload: bool) -> None:
    """Shard a model in place: its parameters become DTensors, split along their first axis.

    Gradients are averaged over all processes, as DDP does, and travel with every micro-batch: keeping them whole until
    the last one would need the memory that sharding saves.

    Args:
        module: Model and objective, whole and alike on all processes; the root unit. Every layer is a unit of its own.
        plan: Copies (`data`) of the model, and processes that share one: `shard` times `context`, which read different
            blocks or different stretches of them.
        device: Where this process computes.
        cpu_offload: Keep weights and optimizer state in the machine's memory; on a CPU they are there.
    """
    sizes = {"data": plan.data, "shard": plan.shard * plan.context, "tensor": plan.tensor}
    used = tuple(name for name, size in sizes.items() if size > 1)
    mesh = init_device_mesh(device.type, tuple(sizes[name] for name in used), mesh_dim_names=used)
    if plan.tensor > 1:
        mesh = mesh[used[:-1]]
    policy = CPUOffloadPolicy() if cpu_offload and device.type != "cpu" else OffloadPolicy()
    names = layer_classes(module.model)
    for unit in [part for part in module.modules() if type(part).__name__ in names]:
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, offload_policy=policy)
    fully_shard(module, mesh=mesh, reshard_after_forward=False, offload_policy=policy)
