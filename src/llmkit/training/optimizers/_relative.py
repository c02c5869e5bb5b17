"""Adafactor's step at exactly the learning rate it is given; torch's takes at most 1 / sqrt(step)."""

from __future__ import annotations

from typing import Any

import torch


class RelativeAdafactor(torch.optim.Adafactor):
    """torch's Adafactor, its settings and its state, without that bound, which no schedule and no log would show."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's signature
        """Step every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)

    def _move(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            if gradient.ndim > 1:
                state["row_var"] = torch.zeros_like(gradient[..., :1])
                state["col_var"] = torch.zeros_like(gradient[..., :1, :])
            else:
                state["variance"] = torch.zeros_like(gradient)
        state["step"] += 1
        fresh = float(state["step"]) ** group["beta2_decay"]
        lowest, least = group["eps"]
        lowest = torch.finfo(parameter.dtype).eps if lowest is None else lowest
        size = (parameter.norm() / parameter.numel() ** 0.5).clamp_min(least)
        if group["weight_decay"]:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        if gradient.ndim > 1:
            state["row_var"].lerp_(gradient.square().mean(-1, keepdim=True), fresh)
            state["col_var"].lerp_(gradient.square().mean(-2, keepdim=True), fresh)
            variance = state["row_var"] @ state["col_var"]
            variance /= state["row_var"].mean(-2, keepdim=True).clamp_min(lowest)
        else:
            state["variance"].lerp_(gradient.square(), fresh)
            variance = state["variance"]
        update = variance.clamp(min=lowest**2).rsqrt_().mul_(gradient)
        # Tensors throughout: a number of Python's would make a GPU wait for each parameter.
        excess = (update.norm() / (update.numel() ** 0.5 * group["d"])).clamp_min(1)
        parameter.sub_(update.mul_(group["lr"] * size / excess))
