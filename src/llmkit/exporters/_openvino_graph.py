"""A graph of torch into OpenVINO's: traced, its cache put inside, its weights rounded, and written."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from llmkit.core.errors import ConfigError
from llmkit.core.machine import raise_limit
from llmkit.exporters._onnx_graphs import Graph
from llmkit.modeling.architecture import one_line
from llmkit.runtimes._openvino_sessions import ROWS, library
from llmkit.runtimes._sharing import cache_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAST, PRESENT = "past_key_values.", "present."
LEAST = 2**10
"""Weights of a matrix that is rounded, at least: a smaller one costs nothing."""


def converted(graph: Graph) -> Any:
    """Return a graph as OpenVINO has it, its inputs and outputs by name.

    Raises:
        ConfigError: torch does not trace it, or OpenVINO has no operator for something in it.
    """
    openvino = library()
    module = _Inline(graph).eval()
    try:
        with _silence(), torch.no_grad():
            made = openvino.convert_model(module, example_input=tuple(graph.inputs.values()))
    except Exception as error:
        raise_limit(error)
        raise ConfigError(
            f"exporter: the graph of {type(module.model).__name__} cannot be converted: {one_line(error)}",
            hint="-s exporter=safetensors writes it for runtimes that run its own code",
        ) from error
    for port, name in zip(made.inputs, graph.inputs, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_friendly_name(name)
        shape = openvino.PartialShape(
            [-1 if axis in graph.axes[name] else size for axis, size in enumerate(graph.inputs[name].shape)]
        )
        port.get_node().set_partial_shape(shape)
    for port, name in zip(made.outputs, graph.outputs, strict=True):
        port.get_tensor().set_names({name})
    made.validate_nodes_and_infer_types()
    return made


class _Inline(nn.Module):
    """A graph's module with its inputs one after the other, as tracing wants them.

    The past is put into layers of a cache that are told that they have begun: what transformers itself does is to
    append it to a tensor of one axis, which OpenVINO does not.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.module, self.names = graph.module, list(graph.inputs)
        self.model: Any = getattr(graph.module, "model", graph.module)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs = dict(zip(self.names, tensors, strict=True))
        past = [name for name in self.names if name.startswith(PAST)]
        if not past:
            found: tuple[Tensor, ...] = self.module(inputs)
            return found
        layers = [_begun(inputs[key], inputs[value]) for key, value in zip(past[::2], past[1::2], strict=True)]
        cache = _cache(layers)
        rest = {name: tensor for name, tensor in inputs.items() if name not in past}
        output = self.model(**rest, **{str(self.module.cache_name): cache}, use_cache=True)
        kept = cache_of(output)[1].layers
        return (output.logits.float(), *(tensor for layer in kept for tensor in (layer.keys, layer.values)))


def _begun(keys: Tensor, values: Tensor) -> Any:
    from transformers.cache_utils import DynamicLayer

    layer = DynamicLayer()
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    return layer


def _cache(layers: list[Any]) -> Any:
    from transformers import DynamicCache

    cache = DynamicCache()
    cache.layers.extend(layers)
    return cache


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what tracing and transformers say of each other to themselves."""
    logger = logging.getLogger("transformers")
    before = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(before)


def keep_past(model: Any) -> None:
    """Put the cache of a decoder inside of it: what was an input and an output is its state from now on.

    That is the form of optimum-intel and OpenVINO GenAI. The input `beam_idx` `[rows]` says from which row of the state
    each row goes on; a state of which nothing has been read has no positions, and as many rows as `input_ids`.
    """
    openvino = library()
    from openvino import opset13 as ops
    from openvino._offline_transformations import apply_make_stateful_transformation

    past = [port.get_node() for port in model.inputs if port.get_any_name().startswith(PAST)]
    rows = ops.parameter(openvino.PartialShape([-1]), np.int32, ROWS)
    rows.output(0).get_tensor().set_names({ROWS})
    model.add_parameters([rows])
    first = ops.constant(np.int64(0))
    for node in past:
        readers = list(node.output(0).get_target_inputs())
        chosen = ops.gather(node, rows, first)
        for reader in readers:
            reader.replace_source_output(chosen.output(0))
    model.validate_nodes_and_infer_types()
    names = [node.output(0).get_any_name() for node in past]
    shapes = {name: node.get_partial_shape() for name, node in zip(names, past, strict=True)}
    apply_make_stateful_transformation(model, {name: name.replace(PAST, PRESENT) for name in names})
    count = ops.gather(ops.shape_of(model.input("input_ids"), "i64"), ops.constant(np.array([0], np.int64)), first)
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            shape = next(shapes[name] for name in names if node.get_variable_id().startswith(name))
            heads, size = (ops.constant(np.array([shape[axis].get_length()], np.int64)) for axis in (1, 3))
            none = ops.constant(np.array([0], np.int64))
            empty = ops.broadcast(ops.constant(np.float32(0)), ops.concat([count, heads, none, size], 0))
            node.set_arguments([empty])
    model.validate_nodes_and_infer_types()


def round_weights(made: Any, graph: Graph) -> None:
    """Round the matrices of a model to 8 bits, a scale for each output, as OpenVINO's own plugins take them.

    Sums stay in float32, or are what the plugin takes: nothing is calibrated. A table that is the last layer as well is
    one in the file, too. The model's own weights are what the file has from then on; what was computed of them while
    the graph was made is none of them, and stays as it is.
    """
    library()
    from openvino import opset13 as ops

    weights = {f"self.{name}": weight for name, weight in _Inline(graph).named_parameters(remove_duplicate=False)}
    for node in made.get_ops():
        if node.get_type_name() != "Constant" or node.get_element_type().to_string() != "f32":
            continue
        axis, weight = _kept_axis(node), weights.get(node.get_friendly_name())
        if axis is None or weight is None:
            continue
        whole, scale = _rounded(node.data, axis)
        back = ops.multiply(ops.convert(ops.constant(whole), "f32"), ops.constant(scale))
        back.set_friendly_name(node.get_friendly_name())
        for reader in list(node.output(0).get_target_inputs()):
            reader.replace_source_output(back.output(0))
        weight.data = torch.from_numpy(whole * scale)
    made.validate_nodes_and_infer_types()


def _kept_axis(constant: Any) -> int | None:
    """Return the axis of a matrix of which each place has a scale; None of what is no matrix that is rounded."""
    shape = list(constant.get_output_shape(0))
    if len(shape) != 2 or np.prod(shape) < LEAST:
        return None
    for reader in constant.output(0).get_target_inputs():
        node, place = reader.get_node(), reader.get_index()
        if node.get_type_name() == "Gather" and place == 0:
            return 0
        if node.get_type_name() == "MatMul" and place == 1:
            return 0 if node.get_attributes()["transpose_b"] else 1
    return None


def _rounded(weights: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    most = np.abs(weights).max(1 - axis, keepdims=True)
    scale = np.maximum(most / 127, np.finfo(np.float32).tiny)
    return np.rint(weights / scale).astype(np.int8), scale


def save(model: Any, file: Path, *, half: bool = False) -> None:
    """Write a graph and, beside it, its weights, in float16 where asked for."""
    library().save_model(model, file, compress_to_fp16=half)
