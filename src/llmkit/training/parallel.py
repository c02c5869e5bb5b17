"""Where a training runs: the recipe's `parallel:` as accelerate's ParallelismConfig and FSDP2 plugin.

Data parallelism copies the model (DDP); `shard` splits weights, gradients and optimizer (FSDP2, Zhao et al. 2023);
`tensor` splits every matrix (Shoeybi et al. 2019); `context` splits the sequence (ring attention, Liu et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from accelerate import Accelerator, ParallelismConfig
from accelerate.utils import FullyShardedDataParallelPlugin
from pydantic import Field
from torch.distributed.tensor import DTensor

from llmkit.core.config import Config
from llmkit.core.errors import ConfigError, SetupError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ParallelConfig(Config):
    """How the processes share the work. Their product is the number of processes."""

    data: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Groups of processes that each hold a whole model and read different blocks. auto: all that the rest leaves."""
    shard: int = Field(1, ge=1)
    """Processes that share one copy of weights, gradients and optimizer state, and read different blocks (FSDP2)."""
    tensor: int = Field(1, ge=1)
    """Processes that share every matrix product of the same blocks; needs a model that transformers has split."""
    context: int = Field(1, ge=1)
    """Processes that share the positions of the same blocks; refused while ring attention cannot isolate documents."""
    activation_checkpointing: bool = False
    """Compute each layer's activations again in the backward pass: a third more compute, a fraction of the memory."""
    cpu_offload: bool = False
    """Keep sharded weights and optimizer state in the machine's memory, and on the GPU only while a layer runs."""


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
    def is_plain(self) -> bool:
        """Whether there is nothing but copies of the model: DDP, or one process."""
        return self.shard == self.tensor == self.context == 1

    def parallelism(self) -> ParallelismConfig:
        """Return accelerate's form of it."""
        return ParallelismConfig(
            dp_replicate_size=self.data, dp_shard_size=self.shard, tp_size=self.tensor, cp_size=self.context
        )


def plan_parallel(config: ParallelConfig, world_size: int) -> Plan:
    """Fit the recipe to the number of processes.

    Raises:
        ConfigError: The product is another number, or a combination that accelerate cannot run.
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
    if data > 1 and config.shard == 1 and config.tensor * config.context > 1:
        raise ConfigError(
            f"{asked} x data {data}: whole copies (data) of a model split by tensor or context cannot be combined",
            hint=f"split the copies too: -s parallel.data=1 -s parallel.shard={data}",
        )
    if config.context > 1 and config.tensor > 1 and config.shard == 1:
        raise ConfigError(f"{asked}: context splits the weights as well, beside tensor it needs shard",
                          hint="-s parallel.shard=2, or leave out tensor or context")  # fmt: skip
    if config.cpu_offload and config.shard * config.context == 1:
        raise ConfigError("parallel.cpu_offload moves sharded weights, and parallel.shard is 1",
                          hint="-s parallel.shard=N with N processes")  # fmt: skip
    return Plan(data, config.shard, config.tensor, config.context)


def check_parallel(plan: Plan, model: PreTrainedModel, *, context_length: int) -> None:
    """Refuse a plan that this machine or this architecture cannot run.

    Raises:
        SetupError: More than copies of the model without GPUs, or a split that would not be one.
        ConfigError: No tensor-parallel plan for the architecture, or a size that does not divide.
    """
    if plan.tensor > 1:
        name = model.config.model_type
        if not model.config.base_model_tp_plan:
            raise ConfigError(
                f"parallel.tensor {plan.tensor}: transformers has no tensor-parallel plan for {name}",
                hint=f"use parallel.shard={plan.tensor} instead",
            )
        heads = getattr(model.config, "num_key_value_heads", None) or model.config.num_attention_heads
        if heads % plan.tensor:
            raise ConfigError(f"parallel.tensor {plan.tensor} does not divide the {heads} key-value heads of {name}")
    if plan.context > 1 and context_length % (2 * plan.context):
        raise ConfigError(
            f"parallel.context {plan.context}: context_length {context_length} is not a multiple of {2 * plan.context}",
            hint="each process takes one piece from the front and one from the back of every block",
        )
    if not plan.is_plain and not torch.cuda.is_available():
        raise SetupError(
            f"parallel: shard {plan.shard}, tensor {plan.tensor}, context {plan.context} needs GPUs: accelerate leaves"
            " models whole on CPU",
            hint="on CPU processes can hold copies of the model: leave out shard, tensor and context",
        )
    if plan.tensor > 1 and not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        raise SetupError(
            f"parallel.tensor {plan.tensor}: the model is whole on every process, and accelerate would leave it so",
            hint=f"use parallel.shard={plan.tensor} instead",
        )
    if plan.context > 1:
        raise SetupError(
            f"parallel.context {plan.context}: ring attention knows no document borders: packed documents would see"
            " each other",
            hint="use parallel.shard and parallel.activation_checkpointing for long contexts",
        )


def fsdp_plugin(model: PreTrainedModel, *, cpu_offload: bool) -> FullyShardedDataParallelPlugin:
    """Return the FSDP2 plugin: one unit per layer, named after the architecture's own layer classes."""
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=True,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=layer_classes(model),
        cpu_offload=cpu_offload,
        state_dict_type="SHARDED_STATE_DICT",
        activation_checkpointing=False,  # the model's own is on: accelerate's wrapper does not keep the random state
        cpu_ram_efficient_loading=False,
    )


def layer_classes(model: PreTrainedModel) -> list[str]:
    """Return the names of the layer classes that are in the model, of those that transformers does not split."""
    present = {type(module).__name__ for module in model.modules()}
    return sorted(present & set(model._no_split_modules or ()))


def build_accelerator(
    config: ParallelConfig, model: PreTrainedModel, *, context_length: int, **how: Any
) -> Accelerator:
    """Return the accelerator of a training, with DDP, FSDP2, tensor and context parallelism as the recipe says.

    Args:
        config: The recipe's `parallel:`.
        model: The model, not yet wrapped; activation checkpointing is turned on in it.
        context_length: Tokens per block.
        how: More arguments of `Accelerator`, such as `log_with`.

    Raises:
        ConfigError: The sizes do not fit the processes or the architecture.
        SetupError: This machine cannot run it.
    """
    from llmkit.training.launch import world

    plan = plan_parallel(config, world()[1])
    check_parallel(plan, model, context_length=context_length)
    if config.activation_checkpointing:
        checkpoint_activations(model)
    if not plan.is_plain:
        how["parallelism_config"] = plan.parallelism()
    if plan.shard * plan.context > 1:
        how["fsdp_plugin"] = fsdp_plugin(model, cpu_offload=config.cpu_offload)
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
