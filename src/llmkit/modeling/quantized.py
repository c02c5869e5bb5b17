"""Linear layers whose frozen weights are kept in 4 or 8 bits (QLoRA: Dettmers et al. 2023), for adapters beside them.

A layer multiplies by its weights as they are when taken out of those bits again, so that it and its gradient by its
inputs are exactly those of a layer with the rounded weights. Only one matrix is in full precision at a time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import torch

from llmkit.core.extras import require
from llmkit.modeling.adapters.lora import QUANTIZERS
from llmkit.modeling.frozen import frozen_linear

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Bits = Literal["4bit", "8bit"]
BLOCK = 64
"""Weights that share a scale in 4 bits."""


class QuantizedLinear(torch.nn.Linear):
    """A linear layer with weights in few bits that are not trained.

    Args:
        linear: The layer whose weights are rounded; on the meta device only sizes are those of a real one.
        bits: `4bit` for NormalFloat of bitsandbytes, blocks of 64; `8bit` for torchao's integers, a scale a row.
    """

    packed: torch.Tensor
    scales: torch.Tensor

    def __init__(self, linear: torch.nn.Linear, bits: Bits) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features, self.bits = linear.in_features, linear.out_features, bits
        self.register_parameter("bias", linear.bias)
        packed, scales = _packed(linear.weight.detach(), bits)
        # In no checkpoint: they follow from the base, and an adapter is saved without it.
        self.register_buffer("packed", packed, persistent=False)
        self.register_buffer("scales", scales, persistent=False)
        self.train(linear.training)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """The rounded weights in float32, `[out, in]`, made anew."""
        shape = (self.out_features, self.in_features)
        if self.packed.device.type == "meta":
            return torch.empty(shape, device="meta")
        if self.bits == "8bit":
            return self.packed.to(torch.float32) * self.scales
        require("quantized", QUANTIZERS["4bit"])  # has the operator registered
        arguments = (self.packed, self.scales, BLOCK, "nf4", shape, torch.float32)
        found: torch.Tensor = torch.ops.bitsandbytes.dequantize_4bit(*arguments)
        return found

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        """Return what a linear layer with the rounded weights does."""
        if torch.compiler.is_compiling():
            return torch.nn.functional.linear(input, self.weight, self.bias)
        return frozen_linear(input, self)

    @property
    def num_bytes(self) -> int:
        """Bytes that the weights take."""
        return sum(buffer.numel() * buffer.element_size() for buffer in (self.packed, self.scales))


def _packed(weight: torch.Tensor, bits: Bits) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights in few bits, and their scales."""
    rows, columns = weight.shape
    if weight.device.type == "meta":  # a plan, or an estimate of memory
        if bits == "8bit":
            return weight.new_empty((rows, columns), dtype=torch.int8), weight.new_empty((rows, 1))
        packed = weight.new_empty((math.ceil(rows * columns / 2), 1), dtype=torch.uint8)
        return packed, weight.new_empty(math.ceil(rows * columns / BLOCK))
    if bits == "4bit":
        library = require("quantized", QUANTIZERS[bits])
        found, state = library.functional.quantize_4bit(weight.float(), blocksize=BLOCK, quant_type="nf4")
        return found, state.absmax
    logging.getLogger("torchao").setLevel(logging.ERROR)  # it tells of kernels for GPUs that it could not load
    require("quantized", QUANTIZERS[bits])
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    layer = torch.nn.Linear(columns, rows, bias=False, device="meta")
    layer.weight = torch.nn.Parameter(weight.float(), requires_grad=False)
    quantize_(layer, Int8WeightOnlyConfig(set_inductor_config=False))
    made: Any = layer.weight
    return made.qdata, made.scale


def quantize(model: PreTrainedModel, names: Iterable[str], bits: Bits) -> None:
    """Round the weights of some linear layers, in place.

    Raises:
        SetupError: The library that does it is not installed.
    """
    require("quantized", QUANTIZERS[bits])
    for name in names:
        linear = model.get_submodule(name)
        if isinstance(linear, torch.nn.Linear):
            _replace(model, name, QuantizedLinear(linear, bits))


def restore(model: PreTrainedModel, weights: dict[str, torch.Tensor]) -> None:
    """Put whole weights in the place of all rounded ones.

    Args:
        model: A model, wrapped or not.
        weights: Those of the model it was made of, by their names there.
    """
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, QuantizedLinear):
            continue
        linear = torch.nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
        own = name.replace(".base_layer", "")
        linear.weight = torch.nn.Parameter(weights[f"{own}.weight"].float(), requires_grad=False)
        linear.bias = layer.bias
        linear.train(layer.training)
        _replace(model, name, linear)


def is_quantized(model: torch.nn.Module) -> bool:
    """Tell whether a model has rounded weights."""
    return any(isinstance(layer, QuantizedLinear) for layer in model.modules())


def quantized_weights(model: torch.nn.Module) -> int:
    """Return how many weights are rounded: they are no parameters."""
    layers = (layer for layer in model.modules() if isinstance(layer, QuantizedLinear))
    return sum(layer.in_features * layer.out_features for layer in layers)


def quantized_bytes(model: torch.nn.Module) -> int:
    """Return the bytes that rounded weights take."""
    return sum(layer.num_bytes for layer in model.modules() if isinstance(layer, QuantizedLinear))


def _replace(model: torch.nn.Module, name: str, layer: torch.nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
