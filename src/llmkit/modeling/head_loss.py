"""The cross-entropy of any model with an output layer, without holding logits: only chunks of them, only of targets.

Models differ in what they do between body and output layer (BERT's transform, T5's scaling, ALBERT's projection).
Instead of knowing them all, the model runs as it is, with hooks: its body hands on only the positions that have a
target, its output layer gets a single position, and what the layer would have got is taken aside for
`linear_cross_entropy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from llmkit.core.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

CHUNK = 256
"""Targets whose logits are held at a time where nothing is learned."""
_opaque: WeakSet[Any] = WeakSet()
"""Models whose logits are more than their output layer: scaled, capped, adapted. They pay for all logits."""


@dataclass(frozen=True)
class Judged:
    """What a part of a loss is made of.

    Attributes:
        losses: In nats, of each target, `[targets]`.
        hits: Whether it is what the model holds for the likeliest, `[targets]`; None where there is no such thing.
        rows: Which row of the batch it belongs to, `[targets]`.
        weight: Of the part.
    """

    losses: torch.Tensor
    hits: torch.Tensor | None
    rows: torch.Tensor
    weight: float = 1.0


def head_loss(
    model: PreTrainedModel, inputs: Mapping[str, Any], labels: torch.Tensor, *, gather: bool = False
) -> tuple[torch.Tensor, Any]:
    """Run a model and return the summed cross-entropy in nats of its targets, and its other outputs.

    Args:
        model: Any model of transformers with an output layer, not wrapped.
        inputs: What it is called with, without labels.
        labels: `[batch, time]`, what the output at each position should be, or -100.
        gather: Run what comes between body and output layer at the targets only. The body must be `model.base_model`.

    Returns:
        A scalar, and the model's output, whose token logits are of no use.
    """
    from llmkit.modeling.losses import linear_cross_entropy

    flat = labels.flatten()
    if model not in _opaque:
        rows = (flat >= 0).nonzero().squeeze(1) if gather else None
        hidden, outputs = _without_logits(model, inputs, rows)
        if hidden is not None:
            head = model.get_output_embeddings()
            targets = flat if rows is None else flat[rows]
            return linear_cross_entropy(hidden.flatten(0, 1), head.weight, targets, bias=head.bias), outputs
        _opaque.add(model)
    import torch

    outputs = model(**inputs)
    logits = _token_logits(outputs)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), flat, reduction="sum"), outputs


def target_losses(
    model: PreTrainedModel, inputs: Mapping[str, Any], labels: torch.Tensor, *, gather: bool = False
) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Run a model and return the loss of each target, and whether it is the likeliest; for this no gradient is kept.

    Args:
        model: Any model of transformers with an output layer, not wrapped.
        inputs: What it is called with, without labels.
        labels: As in `head_loss`, as is `gather`.
        gather: Likewise.

    Returns:
        Cross-entropies in nats, float32 `[targets]` in the order of the flat labels, bool `[targets]`, and the model's
        output, whose token logits are of no use.
    """
    import torch

    flat = labels.flatten()
    rows = (flat >= 0).nonzero().squeeze(1)
    targets = flat[rows]
    hidden: torch.Tensor | None = None
    if model not in _opaque:
        hidden, outputs = _without_logits(model, inputs, rows if gather else None)
        if hidden is None:
            _opaque.add(model)
    if hidden is None:
        outputs = model(**inputs)
        logits = _token_logits(outputs).flatten(0, 1)[rows]
        parts: Any = torch.split(logits, CHUNK)
    else:
        picked, head = hidden.flatten(0, 1), model.get_output_embeddings()
        parts = (head(part) for part in torch.split(picked if gather else picked[rows], CHUNK))
    losses, hits = [], []
    for logits, target in zip(parts, torch.split(targets, CHUNK), strict=True):
        losses.append(torch.nn.functional.cross_entropy(logits.float(), target, reduction="none"))
        hits.append(logits.argmax(-1) == target)
    return torch.cat(losses), torch.cat(hits), outputs


def _without_logits(
    model: PreTrainedModel, inputs: Mapping[str, Any], rows: torch.Tensor | None
) -> tuple[torch.Tensor | None, Any]:
    """Run the model with hooks; return the input of its output layer, None if the logits are not just its output."""
    import torch

    head = model.get_output_embeddings()
    # A subclass or wrapper (an adapter, a quantized layer) may compute something else from the same weight.
    if type(head) is not torch.nn.Linear or (rows is not None and model.base_model is model):
        return None, None
    given: list[torch.Tensor] = []
    made: list[torch.Tensor] = []

    def shorten(_: Any, arguments: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        given.append(arguments[0])
        return (arguments[0][:, :1],)

    def keep(_: Any, __: Any, result: torch.Tensor) -> None:
        made.append(result)

    def select(_: Any, __: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[rows][None]
        return output

    hooks = [head.register_forward_pre_hook(shorten), head.register_forward_hook(keep)]
    if rows is not None:
        hooks.append(model.base_model.register_forward_hook(select))
    try:
        outputs = model(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    plain = len(made) == 1 and _token_logits(outputs) is made[0]
    return (given[0] if plain else None), outputs


def _token_logits(outputs: Any) -> torch.Tensor:
    for name in ("logits", "prediction_logits"):
        if getattr(outputs, name, None) is not None:
            return getattr(outputs, name)  # type: ignore[no-any-return]
    raise ConfigError(f"model: {type(outputs).__name__} has no token logits", "choose another architecture")
