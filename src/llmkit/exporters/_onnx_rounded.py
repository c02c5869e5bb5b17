"""Layers in 8 bits as onnxruntime multiplies by them: its operator in a graph, and the same numbers in torch.

`quantize_dynamic` has one scale for a column of weights, and one for all activations of a batch: twice the error, more
of the likeliest tokens changed than is allowed, and a text's answer depends on its neighbours. See docs/export-onnx.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BLOCK, MOST, ZERO = 32, 127, 128
"""Numbers of a row that share a scale, the largest whole number, and the byte that stands for 0."""
OPERATOR, INT8_PRODUCTS = "com.microsoft::MatMulNBits", 4
"""onnxruntime's product with such weights, and its name for sums of whole numbers."""


def round_weights(model: PreTrainedModel) -> None:
    """Round the layers of a model and its table of token vectors, one after the other: their float32 is let go.

    A table that is the last layer as well is one, as bytes that both read.
    """
    from transformers.pytorch_utils import Conv1D

    table: Any = model.get_input_embeddings()
    shared = _codes(table.weight.detach())
    rounded = Table(table, *shared)
    for parent in [module for module in model.modules() if any(module.children())]:
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Embedding) and child.weight is table.weight:  # T5 has it under three names
                setattr(parent, name, rounded)
            elif isinstance(child, nn.Linear | Conv1D):
                weight = child.weight.detach()
                whole = weight.t() if isinstance(child, Conv1D) else weight  # GPT-2's are the other way around
                codes = shared if child.weight is table.weight else _codes(whole)
                setattr(parent, name, Product(*codes, whole.shape[1], child.bias))


@contextmanager
def as_run(model: PreTrainedModel) -> Iterator[None]:
    """Let the layers of a rounded model read what onnxruntime's read."""
    layers = [module for module in model.modules() if isinstance(module, Product)]
    for layer in layers:
        layer.rounds = True
    try:
        yield
    finally:
        for layer in layers:
            layer.rounds = False


class Product(nn.Module):
    """A linear layer.

    Args:
        codes: Weights `[out, blocks, 32]`, as bytes.
        scales: Of the blocks `[out, blocks]`.
        size: Of what it reads; the last block of a row may be longer.
        bias: `[out]`, or none.
    """

    codes: Tensor
    scales: Tensor
    bias: nn.Parameter | None

    def __init__(self, codes: Tensor, scales: Tensor, size: int, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.register_parameter("bias", bias)
        self.in_features, self.out_features, self.rounds = size, len(codes), False

    @property
    def weight(self) -> Tensor:
        """The rounded weights `[out, in]`, made anew."""
        return _numbers(self.codes, self.scales, self.in_features)

    def forward(self, read: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            form: dict[str, Any] = {"bits": 8, "block_size": BLOCK, "accuracy_level": INT8_PRODUCTS}
            form |= {"K": self.in_features, "N": self.out_features}
            product = torch.onnx.ops.symbolic(
                OPERATOR, (read, self.codes, self.scales), form, dtype=read.dtype,
                shape=(*read.shape[:-1], self.out_features), version=1,
            )  # fmt: skip
        else:
            product = nn.functional.linear(_rounded(read) if self.rounds else read, self.weight)
        return product if self.bias is None else product + self.bias


class Table(nn.Module):
    """A table of token vectors.

    Args:
        table: The one that is rounded.
        codes: Its numbers `[rows, blocks, 32]`, as bytes.
        scales: Of the blocks `[rows, blocks]`.
    """

    codes: Tensor
    scales: Tensor

    def __init__(self, table: Any, codes: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.num_embeddings, self.embedding_dim = table.weight.shape
        self.factor = float(getattr(table, "embed_scale", 1.0))  # Gemma's and BART's

    @property
    def weight(self) -> Tensor:
        """The rounded numbers `[rows, size]`, made anew."""
        return _numbers(self.codes, self.scales, self.embedding_dim)

    def forward(self, ids: Tensor) -> Tensor:
        codes, scales = (each.index_select(0, ids.flatten()) for each in (self.codes, self.scales))
        found = _numbers(codes, scales, self.embedding_dim).view(*ids.shape, self.embedding_dim)
        return found if self.factor == 1 else found * self.factor


def _codes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bytes `[rows, blocks, 32]` and the scales `[rows, blocks]` that are nearest to a matrix."""
    blocks = _blocks(weight)
    scales = (blocks.abs().amax(-1) / MOST).clamp_min(torch.finfo(weight.dtype).tiny)
    whole = (blocks / scales[..., None]).round_()
    return whole.add_(ZERO).to(torch.uint8), scales


def _numbers(codes: Tensor, scales: Tensor, columns: int) -> Tensor:
    """Return what bytes and scales stand for, `[rows, columns]`."""
    found = ((codes.to(scales.dtype) - ZERO) * scales[..., None]).flatten(-2)
    return found if found.shape[-1] == columns else found[:, :columns]


def _rounded(read: Tensor) -> Tensor:
    """Return what a layer reads `[..., columns]` as onnxruntime rounds it: 32 numbers by a scale of their own."""
    blocks = _blocks(read)
    largest = blocks.abs().amax(-1, keepdim=True)
    whole = (blocks * torch.where(largest > 0, MOST / largest, 0.0)).round()
    return (whole * (largest / MOST)).flatten(-2)[..., : read.shape[-1]]


def _blocks(numbers: Tensor) -> Tensor:
    """Return numbers `[..., columns]` as `[..., blocks, 32]`, the last one filled up with zeros."""
    missing = -numbers.shape[-1] % BLOCK
    return nn.functional.pad(numbers, (0, missing)).reshape(*numbers.shape[:-1], -1, BLOCK)
