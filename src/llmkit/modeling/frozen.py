"""A linear layer whose weights are frozen, and LoRA beside it, as one function for autograd.

What LoRA adds is written into the layer's output and its gradient into that of the inputs, instead of each into memory
of its own: at small ranks it is these passes over memory that cost, not the products. Nothing is computed for a
weight that is not trained, and nothing for inputs that need no gradient, as below the first adapter.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - the name everybody knows it by


def frozen_linear(
    inputs: torch.Tensor,
    layer: torch.nn.Linear,
    down: torch.Tensor | None = None,
    up: torch.Tensor | None = None,
    scale: float = 1.0,
) -> torch.Tensor:
    """Return `inputs @ weight.T + bias + scale * inputs @ down.T @ up.T`.

    Under autocast all products are of its dtype, and the result as well.

    Args:
        inputs: `[..., in]`.
        layer: Has the frozen `weight`, `[out, in]`, which may be made anew whenever it is asked for, and the `bias`.
        down: `[rank, in]`, LoRA's first matrix.
        up: `[out, rank]`, its second.
        scale: What the product of both is scaled by.
    """
    device = inputs.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs.dtype
    function: Any = _FrozenLinear  # torch does not annotate `apply`
    found: torch.Tensor = function.apply(inputs, down, up, layer, scale, dtype)
    return found


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        down: torch.Tensor | None,
        up: torch.Tensor | None,
        layer: torch.nn.Linear,
        scale: float,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            flat = inputs.reshape(-1, inputs.shape[-1]).to(dtype)
            bias = None if layer.bias is None else layer.bias.to(dtype)
            outputs = F.linear(flat, layer.weight.to(dtype), bias)
            low = None
            if down is not None and up is not None:
                low = flat @ down.to(dtype).T
                outputs.addmm_(low, up.to(dtype).T, alpha=scale)
        ctx.layer, ctx.scale, ctx.dtypes, ctx.shape = layer, scale, (inputs.dtype, dtype), inputs.shape
        ctx.save_for_backward(*((flat, low, down, up) if down is not None else ()))
        return outputs.view(*inputs.shape[:-1], outputs.shape[-1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        given, dtype = ctx.dtypes
        flat, low, down, up = ctx.saved_tensors or (None, None, None, None)
        needs_inputs, needs_down, needs_up = ctx.needs_input_grad[:3]
        found: list[torch.Tensor | None] = [None, None, None]
        with torch.autocast(gradient.device.type, enabled=False):
            rows = gradient.reshape(-1, gradient.shape[-1]).to(dtype)
            if needs_inputs:
                found[0] = rows @ ctx.layer.weight.to(dtype)
            if down is not None and up is not None and flat is not None and low is not None:
                low_gradient = (rows @ up.to(dtype)).mul_(ctx.scale)
                if needs_inputs:
                    found[0].addmm_(low_gradient, down.to(dtype))  # type: ignore[union-attr]
                if needs_down:
                    found[1] = (low_gradient.T @ flat).to(down.dtype)
                if needs_up:
                    found[2] = (rows.T @ low).mul_(ctx.scale).to(up.dtype)
            if needs_inputs:
                found[0] = found[0].to(given).view(ctx.shape)  # type: ignore[union-attr]
        return (*found, None, None, None)
