"""Stochastic gradient descent with momentum (Sutskever et al. 2013)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from llmkit.training.optimizers import Optimizer

if TYPE_CHECKING:
    import torch


class SGD(Optimizer):
    """SGD; one number of state per parameter with momentum, none without."""

    lr: float = Field(0.1, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty of matrices, added to the gradient; vectors (norms, biases) have none."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Decay of the running sum of gradients."""
    nesterov: bool = False
    """Look ahead along the momentum."""

    def build(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        """Return SGD over all trained parameters."""
        import torch
        from torch.distributed.tensor import DTensor

        groups = self.groups(model)
        # torch 2.13 has no fused kernel for sharded parameters; the numbers are the same.
        # Nor takes its kernel momentum that some have and others not yet: a layer that the first step skipped.
        fused = not self.momentum and not any(isinstance(parameter, DTensor) for parameter in model.parameters())
        return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, fused=fused)
