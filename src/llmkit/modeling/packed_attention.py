"""Causal attention of documents packed into one row, one document after the other, on a CPU.

A mask that keeps documents apart makes PyTorch compute the scores of the whole row, those above the diagonal and those
between documents as well, and throw most of them away: with three documents in a row of 512, five of six. Document by
document nothing is computed that is not used, and groups of queries share their keys without copies of these.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch

Documents = tuple[tuple[int, int, int], ...]
"""Of each document the row, its first position, and the one after its last."""
LEAST = 4096
"""Scores that have to be saved for a document's own two calls to be worth it."""
_NAME = "llmkit_documents"


def packed_mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:
    """Return transformers' `sdpa_mask`, with the documents noted at it where it is nothing but causal in each."""
    from transformers.masking_utils import sdpa_mask

    mask: torch.Tensor | None = sdpa_mask(*args, **kwargs)
    if mask is not None:
        setattr(mask, _NAME, documents_in(mask))
    return mask


def documents_noted(mask: torch.Tensor | None) -> Documents | None:
    """Return the documents that `packed_mask` has found; None for another mask."""
    return getattr(mask, _NAME, None)


def documents_in(mask: torch.Tensor) -> Documents | None:
    """Return the documents that a mask keeps apart; None where it does more or less, or they are too short to gain.

    Args:
        mask: Bool `[batch, 1, time, time]`, true where a position sees another.
    """
    if mask.dtype != torch.bool or mask.device.type != "cpu" or mask.dim() != 4 or mask.shape[1] != 1:
        return None
    rows, time = mask.shape[0], mask.shape[-1]
    if mask.shape[-2] != time or time == 0:
        return None
    place = torch.arange(time)
    firsts = mask[:, 0].to(torch.uint8).argmax(-1)  # the first position that each one sees: its document's
    apart = (place >= firsts[..., None]) & (place <= place[:, None])
    if not torch.equal(apart, mask[:, 0]):
        return None
    begins = firsts == place
    if not torch.equal(torch.where(begins, place, 0).cummax(-1).values, firsts):  # a window that slides
        return None
    found = []
    for row, begin in enumerate(begins):
        borders = [*begin.nonzero().flatten().tolist(), time]
        found += [(row, start, end) for start, end in pairwise(borders)]
    saved = rows * time * time - sum((end - start) ** 2 for _, start, end in found) // 2
    return tuple(found) if saved >= LEAST * len(found) else None


def attend_documents(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: Documents, scale: float | None
) -> torch.Tensor:
    """Return the attention of each position to those of its document up to itself, `[batch, time, heads, size]`.

    Scores are computed in float32: PyTorch's kernel for bf16 takes longer on its way back.

    Args:
        query: `[batch, heads, time, size]`.
        key: `[batch, key heads, time, size]`; several heads in a row share one of its heads.
        value: Likewise.
        documents: Of `documents_in`; they cover all positions.
        scale: Of the scores; None for one over the root of the size.
    """
    function: Any = _Documents  # torch does not annotate `apply`
    found: torch.Tensor = function.apply(query, key, value, documents, scale)
    return found


class _Documents(torch.autograd.Function):
    """The kernels that `scaled_dot_product_attention` chooses on a CPU, called without a copy for each document."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        documents: Documents,
        scale: float | None,
    ) -> torch.Tensor:
        batch, heads, time, size = query.shape
        found = query.new_empty(batch, time, heads, size)  # as the matrix behind reads it
        norms = query.new_empty(batch, heads, time, dtype=torch.float32)
        for row, start, end in documents:
            parts = [_document(tensor, row, start, end) for tensor in (query, key, value)]
            part, norm = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*parts, 0.0, True, scale=scale)
            found[row, start:end] = part[0].transpose(0, 1)
            norms[row, :, start:end] = norm[0]
        ctx.save_for_backward(query, key, value, found, norms)
        ctx.documents, ctx.scale = documents, scale
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        *given, found, norms = ctx.saved_tensors
        # In the layout of matrices' outputs, `[batch, time, heads, size]`, seen as `[batch, heads, time, size]`.
        gradients = [torch.empty_like(one.transpose(1, 2), memory_format=torch.contiguous_format) for one in given]
        for row, start, end in ctx.documents:
            parts = [_document(tensor, row, start, end) for tensor in given]
            outer, inner = (_document(tensor.transpose(1, 2), row, start, end) for tensor in (gradient, found))
            made = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                outer, *parts, inner, norms[row : row + 1, :, start:end], 0.0, True, scale=ctx.scale
            )
            for whole, part in zip(gradients, made, strict=True):
                whole[row, start:end] = part[0].transpose(0, 1)
        return (*(whole.transpose(1, 2) for whole in gradients), None, None)


def _document(tensor: torch.Tensor, row: int, start: int, end: int) -> torch.Tensor:
    """Return a document of `[batch, heads, time, size]` in float32."""
    return tensor[row : row + 1, :, start:end].float()
