"""A graph into a file: traced by torch, rounded to 8 bits where asked for, many weights in a file beside it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from llmkit.core.errors import ConfigError
from llmkit.core.machine import raise_limit
from llmkit.exporters._onnx_graphs import Graph
from llmkit.modeling.architecture import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FOLDER = "onnx"
SUFFIXES = {"float32": "", "float16": "_fp16", "int8": "_quantized"}
"""What transformers.js looks for behind the name of a graph; its names of these formats are in `DTYPES`."""
DTYPES = {"float32": "fp32", "float16": "fp16", "int8": "q8"}
BLOCK, INT8_PRODUCTS = 32, 4
"""Weights that share a scale, and onnxruntime's name for products of whole numbers."""
INSIDE = 2**27
"""Bytes of weights within the graph's own file. It holds 2 GB at most, and is in memory twice when written."""


def write_graph(graph: Graph, dtype: str, folder: Path) -> bool:
    """Write a graph in a number format; return whether its weights lie in a file beside it.

    Args:
        graph: The graph; its weights are in the format already, except for int8.
        dtype: `float32`, `float16` or `int8`.
        folder: Where to.

    Raises:
        ConfigError: torch cannot trace it.
    """
    import onnx_ir

    traced, file = _traced(graph), folder / f"{graph.name}{SUFFIXES[dtype]}.onnx"
    if dtype == "int8":
        with TemporaryDirectory(dir=folder) as scratch:
            source = Path(scratch, file.name)
            onnx_ir.save(traced, source, external_data=f"{source.name}_data")
            del traced  # with the weights that torch has folded
            return _quantize(source, file)
    apart = bool(sum(value.const_value.nbytes for value in traced.graph.initializers.values()) > INSIDE)
    onnx_ir.save(traced, file, external_data=f"{file.name}_data" if apart else None)
    return apart


def _traced(graph: Graph) -> Any:
    with _silence():
        try:
            program = torch.onnx.export(
                graph.module.eval(), (), kwargs={"inputs": dict(graph.inputs)}, dynamo=True, verbose=False,
                input_names=list(graph.inputs), output_names=list(graph.outputs),
                dynamic_shapes={"inputs": {name: dict(axes) for name, axes in graph.axes.items()}},
            )  # fmt: skip
        except Exception as error:
            raise_limit(error)
            # Whatever the model's own code and torch's tracing raise, usually wrapped: the first cause says most.
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            raise ConfigError(
                f"exporter: the graph of {type(getattr(graph.module, 'model', graph.module)).__name__} cannot be"
                f" traced: {one_line(cause)}",
                hint="--format safetensors writes it for runtimes that run its own code",
            ) from error
    assert program is not None  # that is what it returns where it is to write a file
    traced: Any = program.model
    found = [value.name for value in traced.graph.inputs], [value.name for value in traced.graph.outputs]
    if found != (list(graph.inputs), list(graph.outputs)):
        raise ConfigError(f"exporter: torch has traced the inputs and outputs {found[0]} and {found[1]}")
    _strip(traced)
    return traced


def _strip(traced: Any) -> None:
    """Take out where in which file of this machine each node comes from: more bytes than a small model's weights."""
    traced.metadata_props.clear()
    traced.graph.metadata_props.clear()
    for node in traced.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*traced.graph.inputs, *traced.graph.initializers.values()):
        value.metadata_props.clear()


def _quantize(source: Path, file: Path) -> bool:
    """Round the weights of matrix products to 8 bits, a scale for 32 of them, and what they meet as it comes.

    `quantize_dynamic` has one scale for a column of weights, and one for all activations of a batch: twice the error,
    more of the likeliest tokens changed than is allowed, and a text's answer depends on its neighbours. See
    docs/export-onnx.md.

    Returns:
        Whether the weights lie in a file beside it.
    """
    import onnx

    with _silence():
        from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

        how = DefaultWeightOnlyQuantConfig(block_size=BLOCK, is_symmetric=True, accuracy_level=INT8_PRODUCTS, bits=8)
        quantizer = MatMulNBitsQuantizer(str(source), algo_config=how)
        quantizer.process()
    rounded = quantizer.model.model
    apart = sum(len(tensor.raw_data) for tensor in rounded.graph.initializer) > INSIDE
    onnx.save_model(rounded, file, save_as_external_data=apart, location=f"{file.name}_data")
    return apart


def round_weights(model: PreTrainedModel) -> None:
    """Make of a model what is traced for int8: products of one form, and a table of token vectors in 8 bits.

    One table that is the last layer as well stays in float32 as that, and is rounded like the others.
    """
    from transformers.pytorch_utils import Conv1D

    table = model.get_input_embeddings()
    rounded = _Rounded(table)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Embedding) and child.weight is table.weight:  # T5 has it under three names
                setattr(parent, name, rounded)
            elif isinstance(child, Conv1D):  # GPT-2's products are of another kind, which is not rounded
                setattr(parent, name, _linear(child))


def _linear(layer: Any) -> nn.Linear:
    made = nn.Linear(*layer.weight.shape)
    made.weight, made.bias = nn.Parameter(layer.weight.detach().t().contiguous()), layer.bias
    return made


class _Rounded(nn.Module):
    """A table of token vectors in 8 bits, a scale for 32 numbers of a row."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        rows, size = table.weight.shape
        self.block = BLOCK if size % BLOCK == 0 else size
        blocks = table.weight.detach().view(rows, -1, self.block)
        scale = (blocks.abs().amax(-1, keepdim=True) / 127).clamp_min(torch.finfo(blocks.dtype).tiny)
        self.register_buffer("rounded", (blocks / scale).round().to(torch.int8).view(rows, size))
        factor = float(getattr(table, "embed_scale", 1.0))  # Gemma's and BART's
        self.register_buffer("scale", scale[..., 0] * factor)
        self.weight = table.weight  # models ask for its type

    rounded: Tensor
    scale: Tensor

    def forward(self, ids: Tensor) -> Tensor:
        rounded, scale = (nn.functional.embedding(ids, table) for table in (self.rounded, self.scale))
        blocks = rounded.view(*rounded.shape[:-1], -1, self.block).to(scale.dtype) * scale[..., None]
        return blocks.flatten(-2)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what torch and onnxruntime say of their own insides to themselves.

    onnxruntime's quantization sets up the root logger when it is imported, and would have everything else say more.
    """
    names = ("torch.onnx", "torch.export", "torch.__trace", "onnxscript", "onnx_ir", "onnxruntime")
    before = {name: logging.getLogger(name).level for name in names}
    root, handlers = logging.root.level, list(logging.root.handlers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
            logging.root.setLevel(root)
            logging.root.handlers[:] = handlers
