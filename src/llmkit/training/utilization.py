"""How much of what the machine can do a run uses: its FLOPs against the measured peak of its own matrix shapes."""

from __future__ import annotations

import time

import torch

SAMPLE_TOKENS = 2048
MIN_SECONDS = 0.02


def matrix_shapes(model: torch.nn.Module) -> list[tuple[int, int]]:
    """Return (rows, columns) of every matrix that each token is multiplied with; the embedding is a lookup."""
    shapes = []
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.ndim == 2 and not isinstance(module, torch.nn.Embedding):
            shapes.append((weight.shape[0], weight.shape[1]))
    return shapes


def flops_per_token(model: torch.nn.Module, context_length: int) -> float:
    """Return training FLOPs per token: 6 per matrix weight, for attention 12 x layers x heads x head size x context.

    The count of Chowdhery et al. 2022 (PaLM), appendix B: forward and backward, nothing recomputed.
    """
    config = model.config
    weights = sum(rows * columns for rows, columns in matrix_shapes(model))
    layers, heads = getattr(config, "num_hidden_layers", 0), getattr(config, "num_attention_heads", 0)
    head_size = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // max(heads, 1)
    return 6.0 * weights + 12.0 * layers * heads * head_size * context_length


def measure_peak(model: torch.nn.Module, dtype: torch.dtype) -> float:
    """Return FLOP/s of the model's own matrix products alone, in the compute dtype; takes well under a second."""
    device = next(model.parameters()).device
    flops, seconds = 0.0, 0.0
    for (rows, columns), count in _counted(matrix_shapes(model)).items():
        left = torch.ones(SAMPLE_TOKENS, columns, dtype=dtype, device=device)
        right = torch.ones(columns, rows, dtype=dtype, device=device)
        flops += count * 2.0 * SAMPLE_TOKENS * rows * columns
        seconds += count * _time_product(left, right)
    return flops / seconds if seconds else float("nan")


def _time_product(left: torch.Tensor, right: torch.Tensor) -> float:
    left @ right
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < MIN_SECONDS:
        begin = time.perf_counter()
        left @ right
        if left.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return best


def _counted(shapes: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    return {shape: shapes.count(shape) for shape in set(shapes)}
