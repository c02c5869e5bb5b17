"""The optimizer: AdamW with decay on matrices only."""

from __future__ import annotations

import torch

from llmkit.training.config import OptimizerConfig


def build_optimizer(model: torch.nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return AdamW over two groups: matrices with weight decay, vectors (norms and biases) without.

    Fused: one kernel for all parameters, the same numbers; on CPU and CUDA since torch 2.4.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    beta1, beta2 = config.betas
    return torch.optim.AdamW(groups, lr=config.lr, betas=(beta1, beta2), eps=config.eps, fused=True)
