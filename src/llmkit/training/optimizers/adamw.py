"""AdamW: decay apart from the gradient (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from llmkit.training.optimizers import Optimizer

if TYPE_CHECKING:
    import torch


class AdamW(Optimizer):
    """AdamW, fused: one kernel for all parameters, the same numbers; on CPU and CUDA since torch 2.4."""

    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field([0.9, 0.95], min_length=2, max_length=2)
    """Decay of the first and second moment."""
    eps: float = Field(1e-8, gt=0)
    """Added to the denominator."""

    def build(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        """Return AdamW over all trained parameters."""
        import torch

        beta1, beta2 = self.betas
        return torch.optim.AdamW(self.groups(model), lr=self.lr, betas=(beta1, beta2), eps=self.eps, fused=True)
