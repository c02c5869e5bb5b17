"""Round the linear layers of a model, a few at a time, by what they read of rows of text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from llmkit.modeling.rounding import rounded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MOST_BYTES = 2**30
"""Of what is summed for the layers that are rounded after one pass over the text."""


class _Enough(Exception):  # noqa: N818 - no error: nothing behind the layers is needed
    """All layers have read the row."""


def round_layers(
    model: PreTrainedModel,
    layers: Mapping[str, torch.nn.Linear],
    rows: Sequence[Sequence[int]],
    *,
    bits: int,
    group: int | None,
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Yield each layer's name, its whole numbers and its scales; its weight is what they stand for from then on.

    Layers that do not fit together into memory read what those before them give once they are rounded.

    Args:
        model: The model, in float32 and in eval mode.
        layers: Its layers that are rounded, by name, in the order in which they are computed.
        rows: Ids of text; none rounds each number to the nearest.
        bits: Of a number.
        group: Columns that share a scale; None for all of a row.
    """
    import torch

    for part in _parts(layers) if rows else [list(layers)]:
        sums = _sums(model, {name: layers[name] for name in part}, rows) if rows else {}
        for name in part:
            layer = layers[name]
            with torch.no_grad():
                codes, scales = rounded(layer.weight.detach(), bits, group, sums.pop(name, None))
                size = layer.in_features if group is None else group
                layer.weight.copy_(codes * scales.repeat_interleave(size, 1))
            yield name, codes, scales


def _parts(layers: Mapping[str, torch.nn.Linear]) -> Iterator[list[str]]:
    """Yield names of layers whose sums fit into memory together."""
    part: list[str] = []
    total = 0
    for name, layer in layers.items():
        size = 4 * layer.in_features**2
        if part and total + size > MOST_BYTES:
            yield part
            part, total = [], 0
        part.append(name)
        total += size
    if part:
        yield part


def _sums(
    model: PreTrainedModel, layers: Mapping[str, torch.nn.Linear], rows: Sequence[Sequence[int]]
) -> dict[str, torch.Tensor]:
    """Return the sum of the products of what each layer reads, `[in, in]`."""
    import torch

    sums = {name: torch.zeros(layer.in_features, layer.in_features) for name, layer in layers.items()}
    waiting: set[str] = set()
    own: torch.Tensor | None = None
    product: torch.Tensor | None = None

    def add(name: str, read: torch.Tensor) -> None:
        nonlocal own, product
        if own is not read or product is None:  # queries, keys and values read the same
            flat = read.detach().reshape(-1, read.shape[-1]).float()
            own, product = read, flat.T @ flat
        sums[name] += product
        waiting.discard(name)
        if not waiting:
            raise _Enough

    hooks = [
        layer.register_forward_pre_hook(lambda _, given, name=name: add(name, given[0]))
        for name, layer in layers.items()
    ]
    try:
        for row in rows:
            waiting.update(layers)
            ids = torch.tensor([list(row)], device=model.device)
            with torch.inference_mode(), contextlib.suppress(_Enough):
                model(input_ids=ids, attention_mask=torch.ones_like(ids))
            own = product = None
    finally:
        for hook in hooks:
            hook.remove()
    return sums
