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

        from llmkit.training.optimizers._experts import ExpertMuon, expert_layouts, router_ids, stacked_pair_ids

        layouts = expert_layouts(model)
        flat, stacks, rest = [], [], []
        inside = self._body_ids(model) - router_ids(model) - stacked_pair_ids(model)
        for group in self.groups(model):
            peak = group.get("lr", self.lr)
            mine = [p for p in group["params"] if id(p) in inside]
            if plain := [p for p in mine if id(p) not in layouts and p.ndim == 2]:
                flat.append({**group, "params": plain})
            found = [p for p in mine if id(p) in layouts]
            for layout in sorted({layouts[id(p)] for p in found}):
                alike = [p for p in found if layouts[id(p)] == layout]
                stacks.append({**group, "params": alike, "layout": list(layout)})
            taken = {id(p) for p in (*plain, *found)}
            if others := [p for p in group["params"] if id(p) not in taken]:
                lr = peak if self.other_lr is None else peak * self.other_lr / self.lr
                rest.append({**group, "params": others, "lr": lr})
        same: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay, "momentum": self.momentum}
        optimizers: list[torch.optim.Optimizer] = []
        if flat:
            optimizers.append(torch.optim.Muon(flat, ns_steps=self.iterations, adjust_lr_fn="match_rms_adamw", **same))
        if stacks:
            optimizers.append(ExpertMuon(stacks, ns_steps=self.iterations, **same))
        if rest:
            beta1, beta2 = self.betas
            optimizers.append(torch.optim.AdamW(rest, betas=(beta1, beta2), eps=self.eps, fused=True))
        return cast("torch.optim.Optimizer", Joint(optimizers))

    def _body_ids(self, model: torch.nn.Module) -> set[int]:
        """Return the identities of the matrices of the body, stacked ones and convolutions included.

        Without the heads on top of it: orthogonalizing a classifier of two rows makes both move equally far.
        """
        parts = list(model.children()) if hasattr(model, "lr_factors") else [model]
        bodies = [getattr(part, "base_model", part) for part in parts]
        matrices = matrix_ids(model) - embedding_ids(model)
        return {id(p) for body in bodies for p in trained(body)} & matrices
