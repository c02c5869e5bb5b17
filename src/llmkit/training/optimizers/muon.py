"""Muon (Jordan et al. 2024): matrices move along their orthogonalized momentum; the rest is left to AdamW."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field

from llmkit.training.optimizers import Joint, Optimizer, embedding_ids, matrix_ids, trained

if TYPE_CHECKING:
    import torch


class Muon(Optimizer):
    """Muon for the matrices of the body, AdamW for embeddings, heads and vectors.

    Updates of matrices are scaled to the root mean square of AdamW's (Liu et al. 2025, "Muon is Scalable for LLM
    Training"), so that one learning rate serves both.
    """

    lr: float = Field(3e-3, gt=0)
    """Peak learning rate of the body's matrices, and of the rest unless the next field is given."""
    other_lr: float | None = Field(None, gt=0)
    """Peak learning rate of embeddings, heads and vectors."""
    momentum: float = Field(0.95, ge=0, lt=1)
    """Decay of the running sum of gradients, with Nesterov's look ahead."""
    iterations: int = Field(5, ge=1, le=20)
    """Newton-Schulz iterations; five bring the singular values to within 0.7 and 1.2."""
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field([0.9, 0.95], min_length=2, max_length=2)
    """Decay of the first and second moment in AdamW."""
    eps: float = Field(1e-8, gt=0)
    """Added to the denominator in AdamW."""

    def build(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        """Return both optimizers as one; AdamW alone where there is no matrix in the body."""
        import torch

        eligible = matrix_ids(model) - embedding_ids(model)
        # Without the heads on top of it: orthogonalizing a classifier of two rows makes both move equally far.
        body = getattr(model, "base_model", model)
        matrices = [p for p in trained(body) if p.ndim == 2 and id(p) in eligible]
        inside = {id(p) for p in matrices}
        groups: list[dict[str, Any]] = []
        for group in self.groups(model):
            rest = [p for p in group["params"] if id(p) not in inside]
            if rest:
                groups.append({**group, "params": rest})
        optimizers: list[torch.optim.Optimizer] = []
        if matrices:
            muon = torch.optim.Muon(
                matrices,
                lr=self.lr,
                weight_decay=self.weight_decay,
                momentum=self.momentum,
                ns_steps=self.iterations,
                adjust_lr_fn="match_rms_adamw",
            )
            optimizers.append(muon)
        if groups:
            beta1, beta2 = self.betas
            lr = self.lr if self.other_lr is None else self.other_lr
            optimizers.append(torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), eps=self.eps, fused=True))
        return cast("torch.optim.Optimizer", Joint(optimizers))
