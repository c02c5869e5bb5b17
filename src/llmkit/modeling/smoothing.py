"""Make what layers read easy to round to 8 bits (Xiao et al. 2023, "SmoothQuant"), and find layers that stay hard.

In a column or two of what a layer reads, numbers may be hundreds of times those of the others, and the one scale of a
token is theirs: the others are rounded to nothing. So columns are divided by factors in what stands before the layer, a
norm or the rows of a projection, and the layer's weights are multiplied by the same: its output stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ARCHITECTURES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Those whose blocks have these layers, each norm before the layers that read it, and nothing else that does."""
SHARE = 0.5
"""Of the difficulty, what the weights take over."""
LEAST = 1e-5
"""What a column is taken to hold, at least: one that is never used says nothing of its factor."""
MOST = 127.5


def smooth(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> bool:
    """Smooth what the layers of a model read, by rows of ids; return whether its architecture is known.

    Args:
        model: In float32 and in eval mode; changed in place, its answers are not.
        rows: Ids of text.
    """
    if model.config.model_type not in ARCHITECTURES or not rows:
        return False
    blocks: Iterable[Any] = model.base_model.layers
    first = [
        layer
        for block in blocks
        for layer in (block.self_attn.q_proj, block.self_attn.o_proj, block.mlp.gate_proj, block.mlp.down_proj)
    ]
    largest: dict[int, torch.Tensor] = {}

    def note(layer: torch.nn.Linear, read: torch.Tensor) -> None:
        most = read.abs().reshape(-1, read.shape[-1]).amax(0)
        known = largest.get(id(layer))
        largest[id(layer)] = most if known is None else most.maximum(known)

    _watch(model, first, rows, note)
    for block in blocks:
        attention, dense = block.self_attn, block.mlp
        _divide(block.input_layernorm, [attention.q_proj, attention.k_proj, attention.v_proj], largest)
        _divide(block.post_attention_layernorm, [dense.gate_proj, dense.up_proj], largest)
        _divide(dense.up_proj, [dense.down_proj], largest)
        _divide(attention.v_proj, [attention.o_proj], largest, size=attention.head_dim)
    return True


def hard_layers(
    model: PreTrainedModel, layers: Mapping[str, torch.nn.Linear], rows: Sequence[Sequence[int]],
    alike: Callable[[torch.Tensor, torch.Tensor], float], least: float,
) -> list[str]:  # fmt: skip
    """Return the layers that read numbers as they are, so that a model answers alike when the others' are rounded.

    Those of one kind go together, such as the last ones of all blocks, and first the kind that matters most. Single
    layers do not tell: each moves its own outputs by a percent or two, and the answers depend on where.

    Args:
        model: In float32 and in eval mode; it gives logits.
        layers: Its layers, by name.
        rows: Ids of text.
        alike: Tells of logits `[tokens, vocabulary]` and others how alike they are.
        least: How alike they have to be.
    """
    exact, left = _logits(model, rows), list[str]()
    kinds: dict[str, list[str]] = {}
    for name in layers:
        kinds.setdefault(_kind(name), []).append(name)

    def alike_without(names: Sequence[str]) -> float:
        handles = [
            layer.register_forward_pre_hook(lambda _, given: (rounded(given[0]), *given[1:]))
            for name, layer in layers.items()
            if name not in names
        ]
        try:
            return alike(exact, _logits(model, rows))
        finally:
            for handle in handles:
                handle.remove()

    while kinds and alike_without(left) < least:
        best = max(kinds, key=lambda kind: alike_without([*left, *kinds[kind]]))
        left += kinds.pop(best)
    return [name for name in layers if name in left]


def _logits(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the logits of all tokens of rows, `[tokens, vocabulary]`."""
    import torch

    with torch.inference_mode():
        return torch.cat([model(input_ids=torch.tensor([list(row)], device=model.device)).logits[0] for row in rows])


def rounded(read: torch.Tensor) -> torch.Tensor:
    """Return what a layer reads `[..., columns]` in 8 bits, a scale for each token, as compressed-tensors rounds it."""
    scale = (read.abs().amax(-1, keepdim=True) / MOST).clamp_min(1e-10)
    return (read / scale).round().clamp(-128, 127) * scale


def _kind(name: str) -> str:
    """Return what a layer is in its block; projections that runtimes compute as one are of one kind."""
    last = name.rpartition(".")[2]
    fused = {"q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj", "up_proj": "gate_proj"}
    return fused.get(last, last)


def _divide(before: Any, layers: Sequence[torch.nn.Linear], largest: Mapping[int, Any], size: int = 0) -> None:
    """Divide what a norm or a projection gives by factors, and multiply the weights of what reads it by them.

    Args:
        before: The norm or the projection.
        layers: All that reads it.
        largest: What each column of the first of them holds at most.
        size: Of a head, where a head of the projection is read as several; 0 where columns are its rows.
    """
    import torch

    read = largest[id(layers[0])]
    weight = torch.stack([layer.weight.abs().amax(0) for layer in layers]).amax(0)
    rows = before.weight.shape[0]
    repeats = len(read) // rows
    if size:
        read, weight = (each.view(-1, repeats, size).amax(1).flatten() for each in (read, weight))
    factor = read.clamp(min=LEAST) ** SHARE / weight.clamp(min=LEAST) ** (1 - SHARE)
    spread = factor.view(-1, 1, size).expand(-1, repeats, -1).flatten() if size else factor
    with torch.no_grad():
        before.weight.div_(factor if before.weight.ndim == 1 else factor[:, None])
        if getattr(before, "bias", None) is not None:
            before.bias.div_(factor)
        for layer in layers:
            layer.weight.mul_(spread)


def _watch(
    model: PreTrainedModel, layers: Iterable[torch.nn.Linear], rows: Sequence[Sequence[int]],
    note: Callable[[torch.nn.Linear, torch.Tensor], None],
) -> None:  # fmt: skip
    """Run rows through a model, and tell of what each layer reads."""
    import torch

    handles = [layer.register_forward_pre_hook(lambda layer, given: note(layer, given[0])) for layer in layers]
    try:
        with torch.no_grad():
            for row in rows:
                ids = torch.tensor([list(row)], device=model.device)
                model(input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        for handle in handles:
            handle.remove()
