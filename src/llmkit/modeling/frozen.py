"""A linear layer whose weights are frozen, and LoRA beside it, as one function for autograd.

What LoRA adds is written into the layer's output and its gradient into that of the inputs, instead of each into memory
of its own: at small ranks it is these passes over memory that cost, not the products. Nothing is computed for a
weight that is not trained, and nothing for inputs that need no gradient, as below the first adapter.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

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
    function: Any = _FrozenLinear  # torch does not annotate `apply`
    found: torch.Tensor = function.apply(inputs, down, up, _Fixed(layer, scale, _dtype(inputs)))
    return found


def gated_linear(
    gate: torch.Tensor,
    value: torch.Tensor,
    activation: Callable[[torch.Tensor], torch.Tensor],
    layer: torch.nn.Linear,
    down: torch.Tensor,
    up: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """Return `frozen_linear` of `activation(gate) * value`, of which only `gate` and `value` are kept for the way back.

    What the activation returns and the product are made again there: half of what a gated layer would keep.

    Args:
        gate: `[..., in]`.
        value: `[..., in]`.
        activation: Works on each element by itself, without dropout.
        layer: This and the others are as in `frozen_linear`.
        down: `[rank, in]`.
        up: `[out, rank]`.
        scale: Of the product of both.
    """
    function: Any = _GatedLinear
    found: torch.Tensor = function.apply(gate, value, down, up, _Fixed(layer, scale, _dtype(gate)), activation)
    return found


class _Fixed(NamedTuple):
    """What of a layer has no gradient, and the type that it multiplies in."""

    layer: torch.nn.Linear
    scale: float
    dtype: torch.dtype


def _dtype(inputs: torch.Tensor) -> torch.dtype:
    device = inputs.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs.dtype


class _Cast(NamedTuple):
    """Inputs that were cast last, as they were then, and what that made of them."""

    given: weakref.ref[torch.Tensor]
    version: int
    made: weakref.ref[torch.Tensor]


_last: deque[_Cast] = deque(maxlen=1)


def _rows(inputs: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return inputs as `[rows, in]` in a type: queries, keys and values are of the same ones, cast and kept once.

    Each layer would keep a copy of its own for the way back: in bf16 a sixth of all that is kept.
    """
    if inputs.dtype == dtype or inputs.is_inference():
        return inputs.reshape(-1, inputs.shape[-1]).to(dtype)
    for last in tuple(_last):
        made = last.made()  # there as long as a layer keeps it
        if last.given() is inputs and last.version == inputs._version and made is not None and made.dtype == dtype:
            return made
    made = inputs.reshape(-1, inputs.shape[-1]).to(dtype)
    _last.append(_Cast(weakref.ref(inputs), inputs._version, weakref.ref(made)))
    return made


def _outputs(
    inputs: torch.Tensor, down: torch.Tensor | None, up: torch.Tensor | None, fixed: _Fixed
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return the layer's outputs, `[..., out]`, its inputs `[rows, in]`, and what LoRA's first matrix makes of them."""
    layer, scale, dtype = fixed
    with torch.autocast(inputs.device.type, enabled=False):
        flat = _rows(inputs, dtype)
        bias = None if layer.bias is None else layer.bias.to(dtype)
        outputs = F.linear(flat, layer.weight.to(dtype), bias)
        low = None
        if down is not None and up is not None:
            low = flat @ down.to(dtype).T
            outputs.addmm_(low, up.to(dtype).T, alpha=scale)
    return outputs.view(*inputs.shape[:-1], outputs.shape[-1]), flat, low


def _gradients(
    gradient: torch.Tensor,
    flat: torch.Tensor | None,
    low: torch.Tensor | None,
    down: torch.Tensor | None,
    up: torch.Tensor | None,
    fixed: _Fixed,
    needs: tuple[bool, bool, bool],
) -> list[torch.Tensor | None]:
    """Return the gradients of the inputs, `[rows, in]`, and of both of LoRA's matrices; None where none is needed."""
    layer, scale, dtype = fixed
    needs_inputs, needs_down, needs_up = needs
    found: list[torch.Tensor | None] = [None, None, None]
    with torch.autocast(gradient.device.type, enabled=False):
        rows = gradient.reshape(-1, gradient.shape[-1]).to(dtype)
        if needs_inputs:
            found[0] = rows @ layer.weight.to(dtype)
        if down is not None and up is not None and flat is not None and low is not None:
            low_gradient = (rows @ up.to(dtype)).mul_(scale)
            if needs_inputs:
                found[0].addmm_(low_gradient, down.to(dtype))  # type: ignore[union-attr]
            if needs_down:
                found[1] = (low_gradient.T @ flat).to(down.dtype)
            if needs_up:
                found[2] = (rows.T @ low).mul_(scale).to(up.dtype)
    return found


class _FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, down: torch.Tensor | None, up: torch.Tensor | None, fixed: _Fixed
    ) -> torch.Tensor:
        outputs, flat, low = _outputs(inputs, down, up, fixed)
        ctx.fixed, ctx.given, ctx.shape = fixed, inputs.dtype, inputs.shape
        ctx.save_for_backward(*((flat, low, down, up) if down is not None else ()))
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, low, down, up = ctx.saved_tensors or (None, None, None, None)
        first, *others = _gradients(gradient, flat, low, down, up, ctx.fixed, ctx.needs_input_grad[:3])
        return (None if first is None else first.to(ctx.given).view(ctx.shape), *others, None)


class _GatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        gate: torch.Tensor,
        value: torch.Tensor,
        down: torch.Tensor,
        up: torch.Tensor,
        fixed: _Fixed,
        activation: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        outputs, _, low = _outputs(activation(gate) * value, down, up, fixed)
        ctx.fixed, ctx.activation = fixed, activation
        ctx.save_for_backward(gate, value, low, down, up)
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gate, value, low, down, up = ctx.saved_tensors
        needs = ctx.needs_input_grad
        with torch.enable_grad():
            gate, value = gate.detach().requires_grad_(), value.detach().requires_grad_()
            inputs = ctx.activation(gate) * value
        flat = inputs.detach().reshape(-1, inputs.shape[-1]).to(ctx.fixed.dtype)
        needs_inputs = needs[0] or needs[1]
        first, *others = _gradients(gradient, flat, low, down, up, ctx.fixed, (needs_inputs, needs[2], needs[3]))
        found: tuple[torch.Tensor | None, ...] = (None, None)
        if first is not None:
            found = torch.autograd.grad(inputs, (gate, value), first.to(inputs.dtype).view(inputs.shape))
        return (*found, *others, None, None)
