"""The losses of routers: what keeps the experts of a mixture evenly used, for every architecture that has some.

Load balancing is that of Fedus et al. 2021 ("Switch Transformers"), equations 4 to 6, as transformers computes it: over
all layers, experts x the sum over experts of (share of the tokens sent there) x (mean probability of it). Here it is
that of each block alone, so that sums over micro-batches and processes are those of the whole batch. The z-loss of
routers, where a config has its weight, is that of Zoph et al. 2022 ("ST-MoE"), equation 5.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from llmkit.core.errors import ConfigError
from llmkit.modeling.plain_head import evaluating, uses_plain_head

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

BALANCE, Z = "router", "router_z"
"""The parts of the loss, by name."""
WEIGHTS = {BALANCE: ("router_aux_loss_coef", "aux_loss_coef", "moe_loss_weight"), Z: ("router_z_loss_coef",)}
"""What architectures call the weight of a part: most, JetMoE, DBRX."""
CHOSEN = ("num_experts_per_tok", "moe_top_k")
FIXED = {"nllb-moe": 2, "switch_transformers": 1}
"""Experts per token where no field says it."""
ACROSS = frozenset(("doge",))
"""Architectures whose routers mix the tokens of different rows: nothing of theirs belongs to one block."""
LENGTHS = "num_tokens"
"""Column of a collated batch: positions before the padding, where no attention mask says it."""


def router_weights(config: PreTrainedConfig) -> dict[str, tuple[str, float]]:
    """Return, per part, the field of a config that weighs it and its value; nothing where a config has none, or 0.

    Raises:
        ConfigError: A weight is negative.
    """
    text = config.get_text_config()
    found: dict[str, tuple[str, float]] = {}
    for part, fields in WEIGHTS.items():
        for field in fields:
            value = _field(text, field) or 0
            if value < 0:
                raise ConfigError(f"model: {field} {value:g} would reward what it is to prevent", "give 0 or more")
            if value:
                found[part] = (field, float(value))
    return found


def _field(config: PreTrainedConfig, name: str) -> Any:
    """Return a field of a config, or of DBRX's config of its feed-forward layers."""
    own = getattr(config, name, None)
    return own if own is not None else getattr(getattr(config, "ffn_config", None), name, None)


@dataclass
class _Call:
    """What the routers of one body said: logits of each layer, `[blocks x time, experts]`, and what it was called with.

    Attributes:
        body: Number of the body.
        shape: Blocks and time.
        mask: 2-dimensional attention mask, if it got one.
    """

    body: int
    logits: Sequence[torch.Tensor]
    shape: tuple[int, int]
    mask: torch.Tensor | None


class Routers:
    """The routers of a model, listened to while a loss is computed.

    Args:
        model: A model with routers and a weight for their loss; its bodies get hooks.
        weights: Of the parts.
        chosen: Experts per token.

    Attributes:
        group: Processes that share the positions of blocks, if any do.
    """

    def __init__(self, model: PreTrainedModel, weights: Mapping[str, float], chosen: int) -> None:
        self.model, self.weights, self.chosen = model, dict(weights), chosen
        self.group: dist.ProcessGroup | None = None
        self._calls: list[_Call] | None = None
        for number, body in enumerate(_bodies(model)):
            body.register_forward_pre_hook(self._ask, with_kwargs=True)
            body.register_forward_hook(self._keeper(number), with_kwargs=True)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen until the block ends; `losses` is asked within it."""
        self._calls = []
        try:
            yield
        finally:
            self._calls = None

    def losses(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return each part, summed over blocks: of all bodies, as encoder and decoder, together.

        A loss that runs a body more than once, on as many rows for every block, gets the mean over its runs.

        Args:
            tensors: The batch as it was collated.
        """
        calls = self._calls or []
        first = next(iter(tensors.values()))
        totals = {part: torch.zeros((), device=first.device) for part in self.weights}
        for body in sorted({call.body for call in calls}):
            own = [call for call in calls if call.body == body]
            rows = sum(call.shape[0] for call in own)
            for call in own:
                found = of_blocks(call.logits, self._real(call, tensors), self.chosen, self.group)
                for part, total in totals.items():
                    totals[part] = total + found[part].sum() * (len(first) / rows)
        return totals

    def _real(self, call: _Call, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return 1 where a position is none of padding, float32 `[blocks, time]`."""
        blocks, time = call.shape
        device = call.logits[0].device
        real = call.mask
        if real is None and self.model.config.is_encoder_decoder:
            given = tensors["labels"] >= 0 if call.body else tensors["input_ids"] != self.model.config.pad_token_id
            real = given if given.shape == call.shape else None
        elif real is None and LENGTHS in tensors and len(tensors[LENGTHS]) == blocks:
            first = 0 if self.group is None else dist.get_rank(self.group) * time
            places = torch.arange(first, first + time, device=device)
            real = places < tensors[LENGTHS].to(device)[:, None]
        return torch.ones(call.shape, device=device) if real is None else real.to(device, torch.float32)

    def _ask(self, _: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        return None if self._calls is None else (args, {**kwargs, "output_router_logits": True})

    def _keeper(self, number: int) -> Any:
        def keep(_: Any, __: Any, kwargs: dict[str, Any], output: Any) -> None:
            if self._calls is not None and output.router_logits:  # an encoder may have none beside a decoder
                blocks, time = output.last_hidden_state.shape[:2]
                mask = kwargs.get("attention_mask")
                mask = mask if isinstance(mask, torch.Tensor) and mask.shape == (blocks, time) else None
                self._calls.append(_Call(number, output.router_logits, (blocks, time), mask))

        return keep


def of_blocks(
    logits: Sequence[torch.Tensor], real: torch.Tensor, chosen: int, group: dist.ProcessGroup | None = None
) -> dict[str, torch.Tensor]:
    """Return both losses of every block, `[blocks]` each.

    Args:
        logits: Of each layer, `[blocks x time, experts]` in any shape.
        real: 1 where a position is none of padding, else 0, float32 `[blocks, time]`.
        chosen: Experts per token.
        group: Processes that have other stretches of the same blocks; their results add up to the losses.
    """
    first = logits[0]
    sent = torch.zeros((len(real), first.shape[-1]), device=first.device)
    likely, squares = torch.zeros_like(sent), torch.zeros_like(sent[:, 0])
    for layer in logits:
        wide = layer.reshape(*real.shape, layer.shape[-1]).float()
        probabilities = wide.softmax(-1)
        best = probabilities.detach().topk(chosen, -1).indices
        sent += (torch.zeros_like(wide).scatter_(-1, best, 1.0) * real[:, :, None]).sum(1)
        likely = likely + (probabilities * real[:, :, None]).sum(1)
        squares = squares + (wide.logsumexp(-1).square() * real).sum(1)
    tokens = real.sum(1) * len(logits)
    if group is not None:  # what is counted is of whole blocks; what is differentiated, of this stretch
        dist.all_reduce(sent, group=group)
        dist.all_reduce(tokens, group=group)
    tokens = tokens.clamp_min(1)
    balance = sent.shape[-1] * (sent * likely).sum(-1) / tokens**2
    return {BALANCE: balance, Z: squares / tokens}


def listen(model: PreTrainedModel) -> Routers | None:
    """Return the routers of a model, ready to be listened to; None if it has none, or their loss has no weight.

    Raises:
        ConfigError: The config has a weight for the loss of routers, and the model gives nothing to compute it from.
    """
    weights = router_weights(model.config)
    if not weights:
        return None
    text = model.config.get_text_config()
    arch = text.model_type
    given = _router_logits(model)
    if given == 0:  # the weight is a default of the architecture, and this model has no experts
        return None
    chosen = FIXED.get(arch) or next((n for name in CHOSEN if (n := _field(text, name))), None)
    if given is None or chosen is None or arch in ACROSS:
        fields = " and ".join(f"{field} {value:g}" for field, value in weights.values())
        reason = "routes tokens of different rows together" if arch in ACROSS else "gives no router logits"
        raise ConfigError(
            f"model: {fields} cannot be a part of the loss, since {arch} {reason}",
            "train without it: 0 in the recipe's model.config, or in the config.json of the model",
        )
    if model.get_output_embeddings() is not None and not model.config.is_encoder_decoder:
        uses_plain_head(model)  # asked now: it runs a batch of its own, which no loss is to be computed of
    return Routers(model, {part: value for part, (_, value) in weights.items()}, int(chosen))


def _bodies(model: PreTrainedModel) -> list[PreTrainedModel]:
    """Return what is called with ids and has layers: the encoder and the decoder, or the one body."""
    if model.config.is_encoder_decoder:
        return [model.get_encoder(), model.get_decoder()]
    from transformers import PreTrainedModel

    base = model.base_model if model.base_model is not model else model.get_decoder()
    if base is model:  # Llama 4's says neither
        base = next(child for child in model.children() if isinstance(child, PreTrainedModel))
    return [base]


def _router_logits(model: PreTrainedModel) -> int | None:
    """Return in how many layers a body has routers, by one small batch; None if that cannot be asked for."""
    found = 0
    for body in _bodies(model):
        if "kwargs" not in inspect.signature(body.forward).parameters:
            return None
        ids = torch.zeros((1, 2), dtype=torch.long, device=model.device)
        more = {}
        if body is not _bodies(model)[0]:
            more["encoder_hidden_states"] = torch.zeros(1, 2, model.config.hidden_size, device=model.device)
        with torch.no_grad(), evaluating(model):
            output = body(input_ids=ids, output_router_logits=True, use_cache=False, **more)
        if "router_logits" not in output:
            return None
        found += len(output.router_logits or ())
    return found
