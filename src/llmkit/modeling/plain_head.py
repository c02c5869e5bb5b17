"""The loss of a causal language model without its logits, where these are its output layer applied to its body.

Whether they are is found out, not known: models scale and cap logits, and adapters and wrappers change their layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch.nn import functional as F  # noqa: N812 - the name everybody knows it by

from llmkit.modeling.losses import IGNORE_INDEX, linear_cross_entropy_and_z

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_plain_heads: WeakKeyDictionary[torch.nn.Module, bool] = WeakKeyDictionary()


def causal_lm_loss(model: PreTrainedModel, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the summed cross-entropy in nats of a causal language model on a packed batch; see `causal_lm_losses`."""
    return causal_lm_losses(model, batch)[0]


def causal_lm_losses(
    model: PreTrainedModel, batch: Mapping[str, torch.Tensor], *, z_loss: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the summed cross-entropy in nats of a causal language model on a packed batch, and the squares of z-loss.

    Documents in a row are kept apart by positions that restart, with neither cache nor attention mask: with either of
    them Llama would look across the border. Losses of routers are added in routing.py.

    A model whose logits are more than its output layer applied to its body (scaled, capped, adapted) is asked for its
    own logits instead, which costs the memory of all of them; see `uses_plain_head`.

    Args:
        model: Any causal language model of transformers, not wrapped.
        batch: `input_ids` `[batch, time]`; `labels` `[batch, time]`, where `labels[b, t]` is what position t should
            predict (already shifted) or -100; optionally `position_ids` `[batch, time]`.
        z_loss: See `linear_cross_entropy_and_z`.

    Returns:
        Two scalars, float32; the first has the gradient of both.
    """
    labels = batch["labels"].flatten()
    inputs = {name: batch[name] for name in ("input_ids", "position_ids") if name in batch}
    if uses_plain_head(model):
        hidden = model.get_decoder()(**inputs, use_cache=False).last_hidden_state
        head = model.get_output_embeddings()
        return linear_cross_entropy_and_z(hidden.flatten(0, 1), head.weight, labels, z_loss=z_loss, bias=head.bias)
    logits = model(**inputs, use_cache=False).logits.flatten(0, 1).float()
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="sum")
    if not z_loss:
        return loss, torch.zeros_like(loss)
    squares = logits[labels != IGNORE_INDEX].logsumexp(-1).square().sum()
    return loss + z_loss * (squares - squares.detach()), squares.detach()


def uses_plain_head(model: PreTrainedModel) -> bool:
    """Say whether the logits are exactly the output layer applied to the last hidden state of the decoder.

    Found out by one small batch per model: the output layer's result is replaced by known values, which must come out
    of the model untouched, and its input must be what the decoder alone returns. Comparing real logits would miss a
    soft cap, which hardly bends the small logits of a new model. The answer is kept for the life of the layer, since an
    adapter may put another in its place; ask before compiling, lest it be compiled for the shape of this batch too.
    """
    head = model.get_output_embeddings()
    # A subclass or wrapper (an adapter, a quantized layer) may compute something else from the same weight.
    if type(head) is not torch.nn.Linear:
        return False
    if head not in _plain_heads:
        _plain_heads[head] = _head_is_last(model, head)
    return _plain_heads[head]


def _head_is_last(model: PreTrainedModel, head: torch.nn.Linear) -> bool:
    seen: list[torch.Tensor] = []

    def replace(_: torch.nn.Module, args: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        seen.append(args[0])
        return torch.linspace(-100, 100, output.numel(), device=output.device).view_as(output).to(output.dtype)

    ids = torch.zeros((1, 2), dtype=torch.long, device=head.weight.device)
    device = head.weight.device.type
    hook = head.register_forward_hook(replace)
    try:
        with torch.no_grad(), torch.autocast(device, enabled=False), evaluating(model):
            logits = model(input_ids=ids, use_cache=False).logits
            hidden = getattr(model.get_decoder()(input_ids=ids, use_cache=False), "last_hidden_state", None)
    finally:
        hook.remove()
    if len(seen) != 1 or hidden is None or not torch.equal(seen[0], hidden):
        return False
    expected = replace(head, (hidden,), head.weight.new_empty(1, 2, head.out_features))
    return logits.shape == expected.shape and torch.equal(logits.float(), expected.float())


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Switch dropout off and restore each module's own mode, since parts of a model may be frozen in eval mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
