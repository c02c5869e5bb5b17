"""Cross-entropy of a language-model head without ever holding the logits of a whole batch.

At 2048 tokens and a 16k vocabulary the float32 logits, their softmax and its gradient are 134 MB each, more than
everything else in a small model together. Walking over chunks of tokens and computing the gradients in the same pass
keeps one chunk of them alive.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

IGNORE_INDEX = -100
FROZEN_CHUNK = 128  # tokens at a time beside a frozen head: there is no gradient of its size, and theirs is not held
CPU_BLOCK = 2**20
"""Elements of the head's gradient computed at a time on a CPU: 2 MB in bf16, about a core's cache."""


def auto_chunk_size(dim: int) -> int:
    """Return how many tokens to take at a time: as many as the hidden size, within 256 and 2048.

    The logits of such a chunk weigh as much as the gradient of the head, which exists anyway. Measured with bf16
    autocast on 2 cores with AVX512-BF16, 2048 tokens, forward and backward, milliseconds:

    | dim x vocab | full logits | 64 | 128 | 256 | 512 | 1024 |
    |---|---|---|---|---|---|---|
    | 256 x 16k | 256 | 161 | 132 | 148 | 175 | 209 |
    | 256 x 64k | 992 | 955 | 935 | 937 | 863 | 823 |
    | 1024 x 32k | 744 | 1214 | 894 | 779 | 705 | 656 |
    """
    return min(max(dim, 256), 2048)


def linear_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    chunk_size: int | Literal["auto"] = "auto",
    ignore_index: int = IGNORE_INDEX,
) -> torch.Tensor:
    """Return the sum of `cross_entropy(hidden @ weight.T + bias, labels)` over the tokens that count, in nats.

    Under autocast the matrix products run in its dtype, the softmax in float32 (float64 for float64 inputs). Rows to be
    ignored cost nothing. The gradients are computed in the forward pass and held until the backward pass, which
    can run once.

    Args:
        hidden: `[num_tokens, dim]`.
        weight: `[vocab, dim]`, the head; may be tied to the embedding.
        labels: `[num_tokens]`, the target of each row (nothing is shifted here).
        bias: `[vocab]`.
        chunk_size: Tokens per chunk. The result does not depend on it but for rounding.
        ignore_index: Label of the rows that do not count.

    Returns:
        A scalar, float32 (float64 for float64 inputs); 0 with zero gradients if no row counts.
    """
    return _apply(hidden, weight, labels, bias, chunk_size, ignore_index, 0.0)[0]


def linear_cross_entropy_and_z(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    *,
    z_loss: float,
    bias: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross-entropy and, apart from it, the sum of the squared logs of the softmax's normalizers.

    The z-loss of Chowdhery et al. 2022 (PaLM), section 5: `z_loss` times that sum keeps the logits from drifting.

    Args:
        hidden: `[num_tokens, dim]`; this and the next three as in `linear_cross_entropy`.
        weight: `[vocab, dim]`.
        labels: `[num_tokens]`.
        bias: `[vocab]`.
        z_loss: Weight of the squares; their gradient is computed in the same pass.

    Returns:
        The summed cross-entropy, whose gradient is that of cross-entropy + `z_loss` * squares, and the sum of squares
        without a gradient.
    """
    total, squares = _apply(hidden, weight, labels, bias, "auto", IGNORE_INDEX, z_loss)
    return total - z_loss * squares, squares


def _apply(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    bias: torch.Tensor | None,
    chunk: int | Literal["auto"],
    ignore_index: int,
    z_loss: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    # Inside the function grad mode is always off: only here can it be seen that no gradient will be asked for.
    needs = [torch.is_grad_enabled() and x is not None and x.requires_grad for x in (hidden, weight, bias)]
    frozen = device == "cpu" and needs[0] and not needs[1]
    chunk = chunk if chunk != "auto" else FROZEN_CHUNK if frozen else auto_chunk_size(hidden.shape[1])
    function: Any = _LinearCrossEntropy  # torch does not annotate `apply`
    found: tuple[torch.Tensor, torch.Tensor] = function.apply(
        hidden, weight, bias, labels, dtype, chunk, ignore_index, z_loss, needs
    )
    return found


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        dtype: torch.dtype,
        chunk_size: int,
        ignore_index: int,
        z_loss: float,
        needs: list[bool],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wide = torch.promote_types(dtype, torch.float32)
        loss = torch.zeros((), dtype=wide, device=hidden.device)
        squares = torch.zeros((), dtype=wide, device=hidden.device)
        grad_hidden = torch.zeros_like(hidden) if needs[0] else None
        grad_weight = torch.zeros_like(weight, dtype=wide) if needs[1] else None
        grad_bias = torch.zeros_like(bias, dtype=wide) if bias is not None and needs[2] else None
        # On CPUs the product of a block is added while it is still in cache; a whole one costs a pass over memory.
        block = max(1, CPU_BLOCK // hidden.shape[1]) if hidden.device.type == "cpu" else len(weight)
        rows = (labels != ignore_index).nonzero().squeeze(1)  # a sync point on GPUs, cheaper than the ignored rows
        softmax_error = _in_cache if bias is None and hidden.is_cpu and dtype == torch.bfloat16 else _by_operators
        with torch.autocast(hidden.device.type, enabled=False):
            head = weight.to(dtype)
            for part in torch.split(rows, chunk_size):
                x, target = hidden[part].to(dtype), labels[part]
                losses, log_norms, error = softmax_error(x @ head.T, target, wide, bias, z_loss, any(needs))
                loss += losses.sum()
                if z_loss:
                    squares += log_norms.square().sum()
                if error is None:
                    continue
                if grad_bias is not None:
                    grad_bias += error.sum(0)
                error = error.to(dtype)
                if grad_hidden is not None:
                    grad_hidden[part] = (error @ head).to(hidden.dtype)
                if grad_weight is not None:
                    for top in range(0, len(head), block):
                        grad_weight[top : top + block] += error[:, top : top + block].T @ x
        ctx.grads = (grad_hidden, grad_weight, grad_bias)
        ctx.dtypes = (hidden.dtype, weight.dtype, None if bias is None else bias.dtype)
        ctx.mark_non_differentiable(squares)
        return loss + z_loss * squares, squares

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        if ctx.grads is None:
            raise RuntimeError(
                "linear_cross_entropy can be differentiated only once: its gradients are scaled in place"
            )
        grads, ctx.grads = ctx.grads, None
        scaled = [g if g is None else g.mul_(grad_output).to(d) for g, d in zip(grads, ctx.dtypes, strict=True)]
        return (*scaled, None, None, None, None, None, None)


def _by_operators(
    logits: torch.Tensor,
    target: torch.Tensor,
    wide: torch.dtype,
    bias: torch.Tensor | None,
    z_loss: float,
    needs_gradient: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return each row's cross-entropy and log of its normalizer, `[rows, 1]`, and the gradient of the logits."""
    logits, target = logits.to(wide), target[:, None]
    if bias is not None:
        logits += bias
    log_norm = logits.logsumexp(-1, keepdim=True)
    losses = log_norm - logits.gather(-1, target)
    if not needs_gradient:
        return losses, log_norm, None
    # d loss / d logits = softmax - one-hot, written over the logits.
    error = logits.sub_(log_norm).exp_()
    if z_loss:  # and of z_loss * log_norm ** 2: 2 * z_loss * log_norm * softmax
        error *= 1 + 2 * z_loss * log_norm
    error.scatter_add_(-1, target, error.new_full((), -1).expand_as(target))
    return losses, log_norm, error


def _in_cache(
    logits: torch.Tensor, target: torch.Tensor, _: torch.dtype, __: torch.Tensor | None, z_loss: float, ___: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return the same for bf16 on a CPU, in one visit of each row."""
    from llmkit.modeling.softmax_kernel import softmax_error_

    losses, log_norms = softmax_error_(logits, target, z_loss=z_loss)
    return losses, log_norms, logits
