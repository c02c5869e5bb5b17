"""A graph into a file: traced by torch, many weights in a file beside it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from llmkit.core.errors import ConfigError
from llmkit.core.machine import raise_limit
from llmkit.exporters._onnx_graphs import Graph
from llmkit.modeling.architecture import one_line

FOLDER = "onnx"
SUFFIXES = {"float32": "", "float16": "_fp16", "int8": "_quantized"}
"""What transformers.js looks for behind the name of a graph; its names of these formats are in `DTYPES`."""
DTYPES = {"float32": "fp32", "float16": "fp16", "int8": "q8"}
INSIDE = 2**27
"""Bytes of weights within the graph's own file. It holds 2 GB at most, and is in memory twice when written."""


def write_graph(graph: Graph, dtype: str, folder: Path) -> bool:
    """Write a graph in a number format; return whether its weights lie in a file beside it.

    Args:
        graph: The graph; its weights are in the format already.
        dtype: `float32`, `float16` or `int8`.
        folder: Where to.

    Raises:
        ConfigError: torch cannot trace it.
    """
    import onnx_ir

    traced, file = _traced(graph), folder / f"{graph.name}{SUFFIXES[dtype]}.onnx"
    apart: bool = sum(value.const_value.nbytes for value in traced.graph.initializers.values()) > INSIDE
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
