"""Adafactor (Shazeer & Stern 2018): a matrix's second moment as the product of one row and one column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from llmkit.training.optimizers import Optimizer

if TYPE_CHECKING:
    import torch


class Adafactor(Optimizer):
    """Adafactor without momentum: almost no state, for where memory is short. Steps are relative to a weight's size."""

    lr: float = Field(1e-2, gt=0)
    """Peak learning rate, relative to the root mean square of each weight; the schedule alone lowers it."""
    weight_decay: float = Field(0.0, ge=0)
    """Decay of matrices; vectors (norms, biases) have none."""
    beta2_decay: float = Field(-0.8, lt=0)
    """Exponent of the step at which the second moment forgets."""
    clip: float = Field(1.0, gt=0)
    """Largest root mean square of an update."""

    def build(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        """Return Adafactor over all trained parameters."""
        from llmkit.training.optimizers._relative import RelativeAdafactor

        return RelativeAdafactor(self.groups(model), lr=self.lr, beta2_decay=self.beta2_decay, d=self.clip)
