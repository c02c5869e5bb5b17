"""Dropout on a CPU by a counter instead of a stream of random numbers: by all threads, with no mask to keep.

PyTorch draws one Bernoulli number after the other, on one thread: a fifth of the time of a small BERT's step. Here an
element is kept or not by a hash of its place and a seed (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3"), so that the backward pass hashes again what it needs. The seed is drawn from PyTorch's own generator: seeds,
resuming and recomputed activations act as ever, only the elements are others.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch

from llmkit.modeling.packed_attention import attend_documents, documents_noted, packed_mask
from llmkit.work.kernel import kernel

ATTENTION = "llmkit_sdpa"
LEAST = 65536
"""Elements that are worth another thread: below, handing them over takes longer."""


def use_counters(module: torch.nn.Module) -> None:
    """Let all of a module drop out by counters: its dropout modules, and attention where it is PyTorch's sdpa.

    What drops out by a function of torch, as some architectures do, goes on as it was. Attention that drops out nothing
    takes packed documents one by one (packed_attention.py).
    """
    from transformers import AttentionInterface, PreTrainedModel
    from transformers.masking_utils import AttentionMaskInterface

    for part in module.modules():
        if type(part) is torch.nn.Dropout:
            part.__class__ = CounterDropout
        if not isinstance(part, PreTrainedModel) or part.config._attn_implementation != "sdpa":
            continue
        if part._can_set_attn_implementation():
            AttentionInterface.register(ATTENTION, attend)
            AttentionMaskInterface.register(ATTENTION, packed_mask)
            part.set_attn_implementation(ATTENTION)


def use_torch(module: torch.nn.Module) -> None:
    """Undo `use_counters`."""
    from transformers import PreTrainedModel

    for part in module.modules():
        if type(part) is CounterDropout:
            part.__class__ = torch.nn.Dropout  # type: ignore[assignment]
        if isinstance(part, PreTrainedModel) and part.config._attn_implementation == ATTENTION:
            part.set_attn_implementation("sdpa")


class CounterDropout(torch.nn.Dropout):
    """`torch.nn.Dropout` by counters."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        """Return the input with some elements zero and the others larger."""
        return drop(input, self.p) if self.training else input


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Return attention's result, `[batch, time, heads, size]`; the query and its like are `[batch, heads, time, size]`.

    Without dropout it is transformers' function, or that for packed documents. With it, that would take torch's slowest
    way through attention, which also looks for rows of scores with nothing to see; here every position sees at least
    itself.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    more = [name for name in ("position_bias", "softcap", "cache") if options.get(name) is not None]
    documents = documents_noted(attention_mask)
    exact = query.dtype == torch.float64  # computed in float32 there
    if documents is not None and not (dropout or more or exact) and query.shape[-1] == value.shape[-1]:
        return attend_documents(query, key, value, documents, scaling), None
    grouped = key.shape[1] != query.shape[1]
    if not dropout or more or grouped or (attention_mask is None and _is_causal(module, options)):
        return cast("tuple[torch.Tensor, None]", sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        ))  # fmt: skip
    scores = query * (query.shape[-1] ** -0.5 if scaling is None else scaling) @ key.transpose(2, 3)
    if attention_mask is not None:
        if attention_mask.dtype == torch.bool:  # the same for all heads, so that adding is less than filling
            shown = torch.zeros((), dtype=scores.dtype)
            attention_mask = torch.where(attention_mask, shown, torch.finfo(scores.dtype).min)
        # As a number of the scores' type: the least of float32 would be -inf in bf16, and a row of it NaN.
        scores = scores + attention_mask.to(scores.dtype).clamp(min=torch.finfo(scores.dtype).min)
    weights = drop(scores.softmax(-1), dropout)
    return (weights @ value).transpose(1, 2).contiguous(), None


def _is_causal(module: torch.nn.Module, options: dict[str, Any]) -> bool:
    own = options.get("is_causal")
    return bool(getattr(module, "is_causal", True) if own is None else own)


def drop(tensor: torch.Tensor, p: float) -> torch.Tensor:
    """Return a tensor with each element zero at a probability, and the others divided by that of the rest.

    Args:
        tensor: Of float32, or of a type of 16 bits; elsewhere than on a CPU torch's own dropout is taken.
        p: The probability.
    """
    if not 0 < p < 1 or tensor.device.type != "cpu" or tensor.element_size() not in (2, 4):
        return torch.nn.functional.dropout(tensor, p)
    found: torch.Tensor = _Drop.apply(tensor, p, int(torch.randint(2**62, ())))  # type: ignore[no-untyped-call]
    return found


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, p: float, seed: int) -> torch.Tensor:
        ctx.p, ctx.seed = p, seed
        return _dropped(tensor, p, seed)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _Drop.apply(gradients[0], ctx.p, ctx.seed), None, None  # type: ignore[no-untyped-call]


def _dropped(tensor: torch.Tensor, p: float, seed: int) -> torch.Tensor:
    # An element is known by its place in the shape, so what is written lies in that order, whatever the strides were.
    out = torch.empty_like(tensor, memory_format=torch.contiguous_format)
    torch.mul(tensor, 1 / (1 - p), out=out)
    bits = out.view(torch.int32 if out.element_size() == 4 else torch.int16).view(-1).numpy()
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    limit = np.uint32(min(round(p * 2**32), 2**32 - 1))
    workers = min(torch.get_num_threads(), -(-bits.size // LEAST))
    borders = [bits.size * i // workers for i in range(workers + 1)] if workers else []
    parts = [(bits[start:end], np.uint32(start & 0xFFFFFFFF)) for start, end in pairwise(borders)]
    clear: Any = partial(_apply, rest=(low, high, limit))
    # Threads of Python, for the loop holds no lock: numba's own would be a second pool beside PyTorch's.
    jobs = [_pool(workers).submit(clear, part) for part in parts[1:]]
    for part in parts[:1]:
        clear(part)
    for job in jobs:
        job.result()
    return out


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers - 1, thread_name_prefix="dropout")


def _clear(bits: Any, start: Any, low: Any, high: Any, limit: Any) -> None:
    """Set to zero what the hash of its place says: two rounds of a 32-bit mixer, each with half of the seed."""
    for i in range(bits.size):
        h = np.uint32(np.uint32(start + np.uint32(i)) ^ low)
        h = np.uint32(np.uint32(h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D))
        h = np.uint32(np.uint32(h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B))
        h = np.uint32(np.uint32(h ^ (h >> np.uint32(16))) + high)
        h = np.uint32(np.uint32(h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D))
        h = np.uint32(np.uint32(h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B))
        h = np.uint32(h ^ (h >> np.uint32(16)))
        if h < limit:
            bits[i] = 0


@cache
def _loop() -> Any:
    return kernel(_clear)


def _apply(part: tuple[Any, ...], rest: tuple[Any, ...]) -> None:
    _loop()(*part, *rest)
