"""How long a training step takes on this machine: measured on the model's first layers, and drawn out to all of them.

No constant is fitted to any machine: what a layer more costs is the difference of two measurements.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from llmkit.modeling.cost import body_inputs, flops_per_token
from llmkit.modeling.load import count_parameters
from llmkit.modeling.losses import linear_cross_entropy

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

SHALLOW = (1, 3)
"""Layers of the two models that are timed: enough between them that a layer's time stands out from the noise."""
PRODUCT_SECONDS = 0.25
"""What the matrix products alone of a timed pass may take: it is made of so many blocks, and the rest is proportion."""
REPEATS = 3
STATE_BYTES = 16
"""Weights, gradients and AdamW's moments in float32, per parameter."""
MASKED_SHARE = 0.15
"""Positions that have a target, for models that do not predict every token."""


@dataclass(frozen=True)
class Pace:
    """Seconds.

    Attributes:
        one_pass: Forward and backward of one micro-batch.
        update: Clipping and the optimizer, once a step.
    """

    one_pass: float
    update: float


def measure_pace(
    model: PreTrainedModel,
    optimizer: Callable[[PreTrainedModel], torch.optim.Optimizer],
    *,
    num_blocks: int,
    context_length: int,
    bf16: bool,
    peak: float,
    limit: float,
    least: int = 1,
) -> Pace | None:
    """Time steps of models that have the first layers of this one, with new weights; None if that cannot be done.

    Args:
        model: The model, on any device, the meta device included.
        optimizer: Makes the optimizer of a model, which it may freeze in part before.
        num_blocks: Blocks of one micro-batch.
        context_length: Tokens per block.
        bf16: Compute in bf16 by autocast.
        peak: FLOP/s of the matrix products, see `measure_peak`.
        limit: Bytes there are; layers that would take half of them are not timed.
        least: Layers that a timed model must have: the last ones, which alone may be trained.
    """
    layers = getattr(model.config, "num_hidden_layers", 0)
    depths = [depth - SHALLOW[0] + least for depth in SHALLOW]
    if layers <= depths[-1]:
        depths = [layers]
    try:
        shallow = [with_layers(model.config, depth) for depth in depths]
        with torch.device("meta"):
            deepest = type(model)(copy.deepcopy(shallow[-1]))
        if STATE_BYTES * count_parameters(deepest) > limit / 2:
            return None
        seconds = flops_per_token(deepest, context_length) * context_length / peak
        blocks = max(1, min(num_blocks, int(PRODUCT_SECONDS / seconds)))
        timed = [_time_steps(type(model), config, optimizer, blocks, context_length, bf16) for config in shallow]
    except Exception:  # noqa: BLE001 - whatever it is, the run itself may work: a plan must not end it
        return None
    if len(timed) == 1:
        passes, update = timed[0]
    else:
        more = (layers - depths[0]) / (depths[1] - depths[0])
        passes, update = (low + more * max(0.0, high - low) for low, high in zip(*timed, strict=True))
    return Pace(passes * num_blocks / blocks, update)


def with_layers(config: PreTrainedConfig, num_layers: int) -> PreTrainedConfig:
    """Return a config like this one with so many layers, in encoder and decoder alike."""
    fields = config.to_dict()
    name = config.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    depth = fields[name]
    for key in {name, "encoder_layers", "decoder_layers", "num_decoder_layers"} & fields.keys():
        fields[key] = num_layers
    for key, value in fields.items():  # kinds of layers, such as `layer_types`, one by one
        if isinstance(value, list) and len(value) == depth:
            fields[key] = value[:num_layers]
    return type(config).from_dict(fields)


def _time_steps(
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    build: Callable[[PreTrainedModel], torch.optim.Optimizer],
    num_blocks: int,
    context_length: int,
    bf16: bool,
) -> tuple[float, float]:
    """Return the seconds of a pass, and of an update."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=[]):
        model = kind._from_config(config, dtype=torch.float32).train().to(device)
        ids = torch.randint(model.get_input_embeddings().num_embeddings, (num_blocks, context_length))
        masked = torch.rand(ids.shape) < MASKED_SHARE
    inputs = {name: tensor.to(device) for name, tensor in body_inputs(model, ids).items()}
    labels = inputs.get("decoder_input_ids", ids.to(device))
    if not (model.config.is_encoder_decoder or "position_ids" in inputs):
        labels = labels.masked_fill(~masked.to(device), -100)
    optimizer = build(model)

    def one_pass() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            hidden = _body(model, inputs).flatten(0, 1)
            chosen = (labels.flatten() >= 0).nonzero().squeeze(1)
            head = model.get_output_embeddings()
            loss = linear_cross_entropy(hidden[chosen], head.weight, labels.flatten()[chosen], bias=head.bias)
        torch.autograd.backward(loss / chosen.numel())

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    passes, updates = [], []
    for _ in range(REPEATS + 1):  # the first one makes room and loads kernels
        optimizer.zero_grad()
        passes.append(_seconds(one_pass))
        updates.append(_seconds(update))
    return min(passes[1:]), min(updates[1:])


def _body(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return what goes into the output layer, `[blocks, time, hidden]`."""
    if not model.config.is_encoder_decoder:
        hidden: torch.Tensor = model.base_model(**inputs).last_hidden_state
        return hidden
    # T5 has no `base_model` beside itself.
    encoded = model.get_encoder()(input_ids=inputs["input_ids"]).last_hidden_state
    decoder_ids = inputs["decoder_input_ids"]
    decoded: torch.Tensor = model.get_decoder()(
        input_ids=decoder_ids, encoder_hidden_states=encoded, use_cache=False
    ).last_hidden_state
    return decoded


def _seconds(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin
