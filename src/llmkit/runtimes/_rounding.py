"""Weights in fewer bits than float32, of a model that is only asked: bf16, or integers of 8 bits in linear layers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from llmkit.core.errors import ConfigError
from llmkit.core.extras import require
from llmkit.runtimes import Generate, Score

if TYPE_CHECKING:
    import torch

    from llmkit.runtimes._in_memory import InMemory

Precision = Literal["float32", "bf16", "int8"]
NOTES: dict[Precision, str] = {
    "float32": "",
    "bf16": "computed in bf16: scores are right to two or three digits",
    "int8": "linear layers computed in integers of 8 bits: scores are those of the rounded model",
}
"""What a result says of every score."""


def round_weights(running: InMemory, precision: Precision) -> None:
    """Round a model's weights in place; what rounding would hide of its batches is measured before.

    Raises:
        ConfigError: It has no layer that could be rounded, or this processor's integer products are not exact.
        SetupError: What rounds to integers is not installed.
    """
    if precision == "float32":
        return
    for request in (Score((0,), (0,)), Generate((0,), 1)):
        if running.takes(request) is None:
            running.alone(type(request))
    running.shares_prefixes, running.heads.kind and running._heads_alone  # noqa: B018 - measured once, and known then
    if precision == "bf16":
        _to_bf16(running)
    else:
        _to_int8(running)


def _to_bf16(running: InMemory) -> None:
    import torch

    for weight in running.model.parameters():  # one after the other; the angles of positions stay as they are
        weight.data = weight.data.to(torch.bfloat16)


def _to_int8(running: InMemory) -> None:
    """Round the linear layers of the body: a scale for each row of weights and, as it comes, for each token.

    A scale for each token leaves a row's numbers untouched by its neighbours. The output layer and what else stands on
    the body keep float32, as GGUF and others leave them: their error would be that of the score itself.
    """
    import torch

    head = running.model.get_output_embeddings()

    def is_rounded(layer: torch.nn.Module, _: str = "") -> bool:
        return type(layer) is torch.nn.Linear and layer is not head

    body = running.model.base_model
    if not any(map(is_rounded, body.modules())):
        raise ConfigError(
            "runtime.precision: int8 rounds the linear layers of a model's body, and a"
            f" {type(running.model).__name__} has none that is one of PyTorch's",
            "-s runtime.precision=bf16",
        )
    logging.getLogger("torchao").setLevel(logging.ERROR)  # it tells of kernels for GPUs that it could not load
    require("quantized", "torchao")
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    rounding = Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
    if not _is_exact(lambda layer: quantize_(layer, rounding)):
        raise ConfigError(
            "runtime.precision: int8 needs sums of integer products that are exact, and those of this processor are"
            " not: without VNNI they are added up in 16 bits",
            "-s runtime.precision=bf16",
        )
    quantize_(body, rounding, is_rounded)
    running.rounded = "int8"


def _is_exact(quantize: Callable[[torch.nn.Module], object]) -> bool:
    """Tell whether a rounded layer gives what the formula says, the largest sums included; measured."""
    import torch

    draw = torch.Generator().manual_seed(0)
    weights, inputs = (torch.randn(rows, 64, generator=draw) for rows in (32, 5))
    weights[0] = inputs[0] = 1
    layer = torch.nn.Linear(64, 32, bias=False)
    layer.weight.data = weights

    def rounded(rows: torch.Tensor) -> torch.Tensor:
        scales = rows.abs().amax(1, keepdim=True) / 127
        return (rows / scales).round() * scales

    body = torch.nn.Sequential(layer)
    quantize(body)
    with torch.inference_mode():
        return torch.allclose(body(inputs), rounded(inputs) @ rounded(weights).T, atol=1)
