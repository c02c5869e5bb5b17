"""Round weights to a few bits: whole numbers and a scale for each row, or for each group of a row's columns.

The scale of a group is the one of a few that moves its numbers least. With what the layer reads (Frantar et al. 2022,
"GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers") the columns are rounded one after
the other, and what each is off by is made good by those behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SHRINK = tuple(1 - 0.02 * step for step in range(16))
"""Shares of the largest number that a scale may be for: what is beyond is cut, and all others are finer."""
DAMPING = 0.01
"""Added to the diagonal, as a share of its mean: columns that read almost nothing are not moved by much."""
BLOCK = 128
"""Columns whose errors are passed on among themselves before the rest of the row hears of them."""


def rounded(
    weight: torch.Tensor, bits: int, group: int | None = None, hessian: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whole numbers `[out, in]` in int8 and scales `[out, groups]`, whose products are near the weight.

    Args:
        weight: `[out, in]`, in float32; not changed.
        bits: Of a number: 8 holds -128 to 127.
        group: Columns that share a scale, which divide `in`; None for all.
        hessian: Sum of the products of what the layer reads, `[in, in]`; None rounds each number to the nearest.
    """
    import torch

    size = weight.shape[1] if group is None else group
    if hessian is None:
        grouped = weight.reshape(len(weight), -1, size)
        own = _scales(grouped, bits)
        return _codes(grouped, own, bits).reshape(weight.shape).to(torch.int8), own.squeeze(-1)
    left, factor = weight.clone(), _inverse_factor(hessian)
    codes, scales = torch.empty_like(weight, dtype=torch.int8), list[torch.Tensor]()
    for start in range(0, weight.shape[1], BLOCK):
        stop = min(start + BLOCK, weight.shape[1])
        part, errors = left[:, start:stop], torch.zeros(len(weight), stop - start)
        for column in range(start, stop):
            at = column - start
            if column % size == 0:
                # A group may go beyond the block: what is there has not heard of this block's errors yet.
                rest = left[:, column : column + size].clone()
                if column + size > stop and at:
                    rest[:, stop - column :] -= errors[:, :at] @ factor[start:column, stop : column + size]
                scales.append(_scales(rest[:, None], bits)[:, 0])
            codes[:, column] = _codes(part[:, at : at + 1], scales[-1], bits)[:, 0]
            errors[:, at] = (part[:, at] - codes[:, column] * scales[-1][:, 0]) / factor[column, column]
            part[:, at + 1 :] -= errors[:, at : at + 1] * factor[column, column + 1 : stop]
        left[:, stop:] -= errors @ factor[start:stop, stop:]
    return codes, torch.cat(scales, 1)


def packed(codes: torch.Tensor, bits: int = 4) -> torch.Tensor:
    """Return numbers of four bits, eight in one of 32, the first in the lowest bits: `[out, in / 8]`.

    Each is stored with 8 added, so that none is negative; `in` is filled up with zeros.
    """
    import torch

    each = 32 // bits
    fill = -codes.shape[1] % each
    unsigned = torch.nn.functional.pad(codes.to(torch.int64) + 2 ** (bits - 1), (0, fill)).reshape(len(codes), -1, each)
    words = (unsigned << (torch.arange(each) * bits)).sum(-1)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def _scales(groups: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the scale of each group `[..., size]` that moves its numbers least, `[..., 1]`."""
    import torch

    widest = groups.abs().amax(-1, keepdim=True).clamp(min=1e-10) / (2 ** (bits - 1) - 0.5)
    best: torch.Tensor = widest
    least = torch.full_like(widest, torch.inf)
    for share in SHRINK:
        scale = widest * share
        off = (_codes(groups, scale, bits) * scale - groups).square().sum(-1, keepdim=True)
        best, least = torch.where(off < least, scale, best), torch.minimum(off, least)
    return best


def _codes(numbers: torch.Tensor, scales: torch.Tensor, bits: int) -> torch.Tensor:
    most = 1 << (bits - 1)
    codes: torch.Tensor = (numbers / scales).round().clamp(-most, most - 1)
    return codes


def _inverse_factor(hessian: torch.Tensor) -> torch.Tensor:
    """Return the upper Cholesky factor of the inverse; columns that read nothing stand for themselves."""
    import torch

    damped = hessian.double()
    damped.diagonal().add_(DAMPING * damped.diagonal().mean().clamp(min=1e-12))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: torch.Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor.float()
