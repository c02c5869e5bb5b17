"""Muon's step for the experts of a mixture, whose matrices transformers stacks in one tensor, and which those are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import torch

from llmkit.modeling.adapters._parts import ROUTERS

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Newton-Schulz, as torch and Jordan et al. have them."""


class Layout(NamedTuple):
    """How the matrices of experts stand in a tensor.

    Attributes:
        experts: Matrices stacked along the first axis of a tensor of two dimensions; 0 where they have an axis.
        halves: Gate and up projection are one tensor, after one another in its "rows" or "columns", or "alternating"
            by columns. They are two matrices in every paper, and the second is no further rows of the first.
    """

    experts: int = 0
    halves: str = ""

    def matrices(self, tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return views of the tensor, `[experts, rows, columns]` each: one, or gate and up."""
        stack = tensor.view(self.experts, -1, tensor.shape[-1]) if self.experts else tensor
        if self.halves == "alternating":
            return stack[..., ::2], stack[..., 1::2]
        return stack.chunk(2, {"rows": -2, "columns": -1}[self.halves]) if self.halves else (stack,)


def router_ids(model: torch.nn.Module) -> set[int]:
    """Return the identities of the weights that choose between experts: a row for each, as in an output layer."""
    return {
        id(parameter) for name, parameter in model.named_parameters() if not ROUTERS.isdisjoint(name.split(".")[:-1])
    }


def stacked_pair_ids(model: torch.nn.Module) -> set[int]:
    """Return the identities of LoRA's matrices for stacked experts, which are stacked as well: no one matrix each."""
    found: set[int] = set()
    for module in model.modules():
        if type(module).__name__ == "ParamWrapper":  # of peft, which need not be loaded for this
            pairs = (getattr(module, name) for name in ("lora_A", "lora_B"))
            found |= {id(parameter) for pair in pairs for parameter in pair.parameters()}
    return found


def expert_layouts(model: torch.nn.Module) -> dict[int, Layout]:
    """Return the layouts of stacked matrices by the identity of the tensor.

    Everything in three dimensions is a stack, but for convolutions and vectors that were given axes of length one.
    """
    found: dict[int, Layout] = {}
    for module in model.modules():
        if isinstance(module, torch.nn.modules.conv._ConvNd):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim == 3 and min(parameter.shape) > 1:
                found[id(parameter)] = Layout(halves=_halves(module, name, parameter))
            elif parameter.ndim == 2 and hasattr(module, "moe_num_experts") and "Expert" in type(module).__name__:
                found[id(parameter)] = Layout(experts=cast("int", module.moe_num_experts))  # DBRX: one below the other
    for module in model.modules():
        first, second = (
            getattr(getattr(module, f"{side}_linear", None), "weight", None) for side in ("input", "output")
        )
        # JetMoE's feed-forward layers; the attention's have such layers as well, of one matrix each.
        if first is not None and second is not None and first.ndim == 3 and first.shape[-2] == 2 * second.shape[-1]:
            found[id(first)] = Layout(halves="rows")
    return found


def _halves(module: torch.nn.Module, name: str, parameter: torch.Tensor) -> str:
    if name != "gate_up_proj":
        return ""
    if not getattr(module, "is_concatenated", True):  # GPT-OSS; transformers' word for what is not alternating
        return "alternating"
    down = getattr(module, "down_proj", None)
    return "columns" if down is not None and parameter.shape[-2] == down.shape[-1] else "rows"


class ExpertMuon(torch.optim.Optimizer):
    """torch's Muon, `adjust_lr_fn="match_rms_adamw"`, for each matrix of a stack, all matrices of one at a time.

    Args:
        groups: Of parameters with one `layout` each.
        lr: This and the rest are Muon's.
        weight_decay: Decay.
        momentum: Decay of the running mean of gradients.
        ns_steps: Newton-Schulz iterations.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], *, lr: float, weight_decay: float, momentum: float, ns_steps: int
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "ns_steps": ns_steps}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's signature
        """Step every parameter that has a gradient."""
        for group in self.param_groups:
            lr, momentum, layout = group["lr"], group["momentum"], Layout(*group["layout"])
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter.grad)
                buffer = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
                ahead = parameter.grad.lerp(buffer, momentum)
                parameter.mul_(1 - lr * group["weight_decay"])
                for stack, update in zip(layout.matrices(parameter), layout.matrices(ahead), strict=True):
                    size = 0.2 * math.sqrt(max(stack.shape[-2:]))
                    stack.add_(orthogonalized(update, group["ns_steps"]), alpha=-lr * size)


def orthogonalized(stack: torch.Tensor, steps: int) -> torch.Tensor:
    """Return each matrix of a stack `[matrices, rows, columns]` with singular values near 1, in bfloat16."""
    a, b, c = COEFFICIENTS
    is_tall = stack.shape[-2] > stack.shape[-1]
    x = (stack.mT if is_tall else stack).bfloat16()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x
