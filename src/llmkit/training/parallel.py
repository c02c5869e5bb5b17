"""Where a training runs: the recipe's `parallel:` fitted to the processes that there are.

Data parallelism copies the model (DDP); `shard` splits weights, gradients and optimizer (FSDP2, see shard.py), `tensor`
every matrix product (see tensor.py), `context` the positions of a block (see sequence.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from llmkit.core.config import Config
from llmkit.core.errors import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

    from llmkit.modeling.adapters import Adapter
    from llmkit.training.job import Job


class ParallelConfig(Config):
    """How the processes share the work. Their product is the number of processes."""

    data: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Groups of processes that each hold a whole model and read different blocks. auto: all that the rest leaves."""
    shard: int = Field(1, ge=1)
    """Processes that share one copy of weights, gradients and optimizer state, and read different blocks (FSDP2).

    No sample texts are written meanwhile, and the model is not compiled."""
    tensor: int = Field(1, ge=1)
    """Processes that share every matrix product of the same blocks (Megatron-LM), attention by heads."""
    context: int = Field(1, ge=1)
    """Processes that share the positions of the same blocks, for long contexts (Ulysses); they shard weights, too."""
    activation_checkpointing: bool = False
    """Compute each layer's activations again in the backward pass: a third more compute, a fraction of the memory."""
    cpu_offload: bool = False
    """Keep sharded weights and optimizer state in the machine's memory, and on the GPU only while a layer runs."""

    @property
    def splits(self) -> bool:
        """Whether no process has a whole model and whole blocks."""
        return self.shard * self.tensor * self.context > 1


@dataclass(frozen=True)
class Plan:
    """The sizes of the process mesh, with `auto` resolved."""

    data: int
    shard: int
    tensor: int
    context: int

    @property
    def readers(self) -> int:
        """Groups of processes that read different blocks; `batch_tokens` is shared by these."""
        return self.data * self.shard

    @property
    def averaged(self) -> int:
        """Processes over which gradients are averaged: those that see different tokens."""
        return self.data * self.shard * self.context

    def reader(self, rank: int) -> int:
        """Return the number of the group that a process reads with; its processes have numbers in a row."""
        return rank // (self.context * self.tensor)

    def tells(self, rank: int) -> bool:
        """Tell whether a process speaks for its readers: what all of them see is counted once."""
        return rank % (self.context * self.tensor) == 0

    def adds(self, rank: int) -> bool:
        """Tell whether a process's loss is added up: those that split matrices all have the same."""
        return rank % self.tensor == 0


def plan_parallel(config: ParallelConfig, world_size: int) -> Plan:
    """Fit the recipe to the number of processes.

    Raises:
        ConfigError: The product is another number, or two of the fields exclude each other.
    """
    asked = f"parallel: shard {config.shard} x tensor {config.tensor} x context {config.context}"
    model = config.shard * config.tensor * config.context
    if config.data == "auto" and world_size % model:
        raise ConfigError(
            f"{asked} = {model} processes for one model, but there are {world_size}",
            hint=f"start a multiple of {model}: --nproc {model * max(1, world_size // model)}",
        )
    data = world_size // model if config.data == "auto" else config.data
    if data * model != world_size:
        raise ConfigError(
            f"{asked} x data {data} = {data * model} processes, but there are {world_size}",
            hint=f"--nproc {data * model}, or parallel.data=auto",
        )
    if data > 1 and config.tensor > 1 and config.shard * config.context == 1:
        raise ConfigError(f"parallel: data {data} x tensor {config.tensor}: copies of a split model are not built",
                          hint=f"-s parallel.shard={data} does the same with less memory")  # fmt: skip
    if config.cpu_offload and config.shard * config.context == 1:
        raise ConfigError("parallel.cpu_offload moves sharded weights, and none are sharded",
                          hint="-s parallel.shard=N with N processes")  # fmt: skip
    if config.cpu_offload and config.tensor > 1:  # their gradients are summed where NCCL does not reach
        raise ConfigError(f"parallel.cpu_offload does not go with parallel.tensor {config.tensor}",
                          hint="leave one of the two out")  # fmt: skip
    return Plan(data, config.shard, config.tensor, config.context)


_WHOLE = "use parallel.data alone: every process then has the whole model"


def check_splits(job: Job, config: ParallelConfig, adapter: Adapter) -> None:
    """Refuse to split what was never split: models beside the trained one, adapters, coupled rows, rollouts.

    Raises:
        ConfigError: One of these is asked for together with shard, tensor or context.
    """
    if not config.splits:
        return
    check_whole(config, adapter)
    name, asked, whole = job.objective.type_name, _asked(config), _WHOLE
    if job.models.companions:
        beside = ", ".join(job.models.companions)
        raise ConfigError(f"{asked}: {name} has models beside the trained one ({beside}), which are not split", whole)
    if job.objective.couples:
        raise ConfigError(f"{asked}: the loss of {name} couples all rows of a step, which are not split", whole)
    if job.feed.generates:
        raise ConfigError(f"{asked}: the model makes its own data, which a model in parts cannot", whole)


def check_whole(config: ParallelConfig, adapter: Adapter) -> None:
    """Refuse to split a model of which only a part is trained.

    Raises:
        ConfigError: That is asked for.
    """
    if config.splits and adapter.type_name != "full":
        raise ConfigError(f"{_asked(config)}: a model of which only a part is trained (adapter: {adapter.type_name}) is"
                          " not split", _WHOLE)  # fmt: skip


def _asked(config: ParallelConfig) -> str:
    return f"parallel: shard {config.shard} x tensor {config.tensor} x context {config.context}"


def layer_classes(model: PreTrainedModel) -> list[str]:
    """Return the names of the layer classes that are in the model, of those that transformers does not split."""
    present = {type(module).__name__ for module in model.modules()}
    return sorted(present & set(model._no_split_modules or ()))


def build_accelerator(config: ParallelConfig, model: PreTrainedModel, **how: Any) -> Accelerator:
    """Return the accelerator of a training; of a sharded one it prepares no model, see shard.py.

    Args:
        config: The recipe's `parallel:`.
        model: The model, not yet wrapped; activation checkpointing is turned on in it.
        how: More arguments of `Accelerator`, such as `log_with`.

    Raises:
        ConfigError: The sizes do not fit the processes or the architecture.
    """
    import torch
    from accelerate import Accelerator

    from llmkit.work.launch import world

    plan_parallel(config, world()[1])
    if config.activation_checkpointing:
        checkpoint_activations(model)
    # The loop computes in its own precision: accelerate's would make float32 logits of the whole batch.
    return Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no", **how)


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Recompute activations in the backward pass; random state is restored, so dropout draws the same.

    Raises:
        ConfigError: The architecture cannot.
    """
    if not model.supports_gradient_checkpointing:
        raise ConfigError(f"parallel.activation_checkpointing: {model.config.model_type} does not support it",
                          hint="lower micro_batch_tokens instead")  # fmt: skip
    # The older name is deprecated, and the only one before transformers 5.23.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
