"""Adam (Kingma & Ba 2015); its weight decay is added to the gradient, as an L2 penalty is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from llmkit.training.optimizers import Optimizer

if TYPE_CHECKING:
    import torch


class Adam(Optimizer):
    """Adam, fused. BERT and T5 were not trained with it but with decoupled decay: see `adamw`."""

    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty of matrices, added to the gradient; vectors (norms, biases) have none."""
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field([0.9, 0.999], min_length=2, max_length=2)
    """Decay of the first and second moment."""
    eps: float = Field(1e-8, gt=0)
    """Added to the denominator."""

    def build(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        """Return Adam over all trained parameters."""
        import torch

        beta1, beta2 = self.betas
        return torch.optim.Adam(self.groups(model), lr=self.lr, betas=(beta1, beta2), eps=self.eps, fused=True)
