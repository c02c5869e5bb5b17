"""Share every matrix product among processes: tensor parallelism (Shoeybi et al. 2019, "Megatron-LM").

Of two matrices in a row, the first is split by outputs and the second by inputs: attention by heads, feed-forward
layers by hidden units. One sum over processes follows each pair; the backward pass has one for each of the first
matrices. Embedding, head and norms are whole on every process.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.distributed as dist

from llmkit.core.errors import ConfigError
from llmkit.modeling.plain_head import uses_plain_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ARCHITECTURES = frozenset((
    "arcee", "cohere", "cohere2", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3_text", "gpt_neox", "granite",
    "helium", "llama", "ministral3", "mistral", "nanochat", "nemotron", "olmo", "phi", "qwen2", "qwen3", "seed_oss",
    "smollm3", "starcoder2",
))  # fmt: skip
"""Those whose logits and gradients were compared with the whole model's; a plan alone may forget a weight."""
PARTIAL = "replicated_with_grad_allreduce"
"""transformers' word for a weight that is whole everywhere, but meets only this process's heads."""
EMBEDDING = "embedding_rowwise"
"""Its word for an embedding that it shares; here it stays whole."""


class SplitLinear(torch.nn.Linear):
    """A linear layer of which each process has a part.

    Attributes:
        axes: The axis along which each of its tensors is split; others are whole.
        group: The processes that share it.
    """

    axes: ClassVar[dict[str, int]]
    group: dist.ProcessGroup


class ColumnLinear(SplitLinear):
    """Split by outputs: every process has the whole input."""

    axes: ClassVar[dict[str, int]] = {"weight": 0, "bias": 0}

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        """Return this process's outputs."""
        copied = _Copy.apply(input, self.group)  # type: ignore[no-untyped-call]
        return torch.nn.functional.linear(copied, self.weight, self.bias)


class RowLinear(SplitLinear):
    """Split by inputs: every process gets the whole output."""

    axes: ClassVar[dict[str, int]] = {"weight": 1}

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        """Return the sum of all processes' outputs."""
        found = torch.nn.functional.linear(input, self.weight)
        summed: torch.Tensor = _Sum.apply(found, self.group)  # type: ignore[no-untyped-call]
        return summed if self.bias is None else summed + self.bias


KINDS: dict[str, type[SplitLinear]] = {"colwise": ColumnLinear, "rowwise": RowLinear}


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
        ctx.group = group
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, None]:
        return _summed(gradients[0], ctx.group), None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:  # noqa: ARG004
        return _summed(tensor, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor, None]:  # noqa: ARG004
        return gradients[0], None


def _summed(tensor: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
    total = tensor.contiguous().clone()
    dist.all_reduce(total, group=group)
    return total


def split_matrices(model: PreTrainedModel, group: dist.ProcessGroup) -> None:
    """Leave this process its part of every matrix, by the plan that transformers has for the architecture.

    Args:
        model: Whole and alike on all processes.
        group: The processes that share it.

    Raises:
        ConfigError: The architecture cannot be split, or its sizes do not divide.
    """
    size = dist.get_world_size(group)
    plan = check_tensor(model, size)
    uses_plain_head(model)  # asked while the model is whole
    base = model.base_model
    for name, module in list(base.named_modules()):
        kind = KINDS.get(plan.get(_pattern(name), ""))
        if kind is None:
            continue
        part = kind(module.in_features, module.out_features, bias=module.bias is not None, device="meta")
        part.group = group
        for key, tensor in module.named_parameters():
            local = cut(tensor.data, part.axes.get(key), group)
            part.register_parameter(key, torch.nn.Parameter(local, tensor.requires_grad))
        parent, _, attribute = name.rpartition(".")
        setattr(base.get_submodule(parent), attribute, part)


def check_tensor(model: PreTrainedModel, size: int) -> dict[str, str]:
    """Return the plan by which matrices are split: patterns of the base model's modules and how each is split.

    Raises:
        ConfigError: The architecture is none of `ARCHITECTURES`, or its sizes do not divide.
    """
    asked, other = f"parallel.tensor {size}", f"use parallel.shard={size} instead"
    config = model.config
    plan: dict[str, str] = dict(getattr(config, "base_model_tp_plan", None) or {})
    norms = [name for name in ("qk_layernorm", "use_qk_norm") if getattr(config, name, False)]
    if norms:  # Phi's and Cohere's, of which their plans know nothing
        raise ConfigError(f"{asked}: {config.model_type} with {norms[0]} cannot be split", hint=other)
    if config.model_type not in ARCHITECTURES or set(plan.values()) - {*KINDS, PARTIAL, EMBEDDING}:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ConfigError(f"{asked}: {config.model_type} cannot be split", hint=f"{other}, or one of {known}")
    sizes = {
        "attention heads": config.num_attention_heads,
        "key-value heads": getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
        "hidden units of the feed-forward layers": config.intermediate_size,
    }
    for name, count in sizes.items():
        if count % size:
            raise ConfigError(f"{asked}: {count} {name} cannot be shared by {size} processes", hint=other)
    return plan


def cut(tensor: torch.Tensor, axis: int | None, group: dist.ProcessGroup) -> torch.Tensor:
    """Return this process's part of a tensor, a copy; all of it without an axis."""
    if axis is None:
        return tensor
    return tensor.chunk(dist.get_world_size(group), axis)[dist.get_rank(group)].clone()


def join(tensor: torch.Tensor, axis: int, group: dist.ProcessGroup) -> torch.Tensor:
    """Return a tensor with the parts of all processes, which all call it."""
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, tensor.contiguous(), group=group)
    return torch.cat(parts, axis)


def tensor_group(model: torch.nn.Module) -> dist.ProcessGroup | None:
    """Return the processes that share a model's matrices, if any do."""
    return next((module.group for module in model.modules() if isinstance(module, SplitLinear)), None)


def split_axes(model: torch.nn.Module) -> dict[str, int]:
    """Return the names of the split tensors of a model, and the axis along which each is split."""
    return {
        f"{name}.{key}": axis
        for name, module in model.named_modules()
        if isinstance(module, SplitLinear)
        for key, axis in module.axes.items()
    }


def sum_partial_gradients(model: PreTrainedModel) -> None:
    """Add up the gradients of weights that are whole, but met only this process's heads."""
    group = tensor_group(model)
    if group is None:
        return
    plan = model.config.base_model_tp_plan
    for name, module in model.base_model.named_modules():
        for parameter in module.parameters() if plan.get(_pattern(name)) == PARTIAL else ():
            if parameter.grad is not None:
                dist.all_reduce(getattr(parameter.grad, "_local_tensor", parameter.grad), group=group)


def join_squares(squares: float, group: dist.ProcessGroup, device: torch.device) -> float:
    """Return the sum of a number over the processes that share matrices."""
    total = torch.tensor(squares, dtype=torch.float64, device=device)
    dist.all_reduce(total, group=group)
    return float(total)


def make_linear(model: torch.nn.Module) -> None:
    """Turn split layers, whose tensors are whole again, into plain ones."""
    for module in model.modules():
        if isinstance(module, SplitLinear):
            module.__class__ = torch.nn.Linear  # type: ignore[assignment]
            module.out_features, module.in_features = module.weight.shape


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "*", name)
