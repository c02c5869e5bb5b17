"""What of a model becomes a graph: a module whose inputs and outputs have the names that ONNX runtimes look for.

One wrapper per kind of answer. Names are those of transformers.js and onnxruntime-genai: `input_ids`, `attention_mask`,
`position_ids`, `past_key_values.0.key` in; `logits`, `present.0.key` out. The first axis of the past has to be named
`batch_size`: transformers.js makes the empty past of that, and zero of every other name.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from llmkit.runtimes._sharing import cache_of, layers_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head
    from llmkit.modeling.pooling import Pooling

ROWS, TIME, PAST, TOTAL = 2, 3, 5, 8
"""Sizes of the samples. Sizes of 0 and 1 would become constants of the graph, and two that are equal one name."""
BATCH, SEQUENCE, BEFORE, ALL = "batch_size", "sequence_length", "past_sequence_length", "total_sequence_length"
SENTENCE = "sentence_embedding"


@dataclass(frozen=True)
class Graph:
    """A part of a model that is traced into a file of its own.

    Attributes:
        name: Of the file, without its ending: `model`, `encoder_model`, `decoder_model_merged`.
        module: Takes a dictionary of inputs by name, and returns the outputs in order.
        inputs: A sample of each input, by name.
        axes: Names of the axes of each input that are free.
        outputs: Names of the outputs.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    axes: Mapping[str, Mapping[int, str]]
    outputs: Sequence[str]

    def __post_init__(self) -> None:
        # torch.export makes one input of two that are the same tensor: a graph that is wrong, and no word of it.
        places = [tensor.data_ptr() for tensor in self.inputs.values()]
        assert len({*places}) == len(places), "each sample is a tensor of its own"
        assert self.axes.keys() == self.inputs.keys()


def of_decoder(model: PreTrainedModel) -> Graph:
    """Return the graph of a causal language model: one for an empty past, a padded batch, and single steps."""
    layers = _layers(model)
    inputs = {
        "input_ids": sample_ids(ROWS, TIME),
        "attention_mask": torch.ones(ROWS, TOTAL, dtype=torch.long),
        "position_ids": torch.arange(PAST, TOTAL).repeat(ROWS, 1),
    }
    axes = {name: {0: BATCH, 1: SEQUENCE} for name in inputs} | {"attention_mask": {0: BATCH, 1: ALL}}
    if "position_ids" not in inspect.signature(model.forward).parameters:
        del inputs["position_ids"], axes["position_ids"]
    for name, (heads, size) in past_names("past_key_values", layers).items():
        inputs[name] = torch.randn(ROWS, heads, PAST, size, dtype=model.dtype)
        axes[name] = {0: BATCH, 2: BEFORE}
    return Graph("model", _Decoder(model, len(layers)), inputs, axes, ["logits", *past_names("present", layers)])


def of_encoder(model: PreTrainedModel, head: Head, pooling: Pooling | None) -> Graph:
    """Return the graph of a model that is read in one go: labels, tags, spans, numbers, words for masks, vectors.

    Args:
        model: The model.
        head: What stands on its body.
        pooling: How its vectors are made; None of a model that gives none.
    """
    given = inspect.signature(model.forward).parameters
    names = ["input_ids", "attention_mask"]
    if "token_type_ids" in given and getattr(model.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    body = model.get_encoder() if model.config.is_encoder_decoder else model
    module = _Encoder(body, pooling, {"use_cache": False} if "use_cache" in given and body is model else {})
    inputs = {name: torch.ones(ROWS, TIME, dtype=torch.long) for name in names} | {"input_ids": sample_ids(ROWS, TIME)}
    outputs = module.find_outputs(inputs)
    if head.answer != "span" and "logits" not in outputs and pooling is None:
        outputs[0] = "logits"  # of the first of two heads: what everybody looks for
    return Graph("model", module, inputs, {name: {0: BATCH, 1: SEQUENCE} for name in names}, outputs)


def past_names(prefix: str, layers: Sequence[tuple[int, int]], side: str = "") -> dict[str, tuple[int, int]]:
    """Return heads and their size by the name of each tensor of a past."""
    return {f"{prefix}.{i}{side}.{kind}": sizes for i, sizes in enumerate(layers) for kind in ("key", "value")}


def sample_ids(rows: int, time: int) -> Tensor:
    return torch.arange(rows * time).view(rows, time) % 7


def _layers(model: PreTrainedModel) -> list[tuple[int, int]]:
    """Return how many heads the cache of each layer has, and their size: no config says it for all architectures.

    Raises:
        TypeError: What the model keeps of earlier tokens is not keys and values alone.
    """
    with torch.no_grad():
        cache = cache_of(model(input_ids=sample_ids(1, 2), use_cache=True))[1]
    for layer in cache.layers:
        if not hasattr(layer, "keys") or layer.keys is None:
            raise TypeError(f"it keeps a {type(layer).__name__} of earlier tokens, which is not keys and values")
    return [(layer.keys.shape[1], layer.keys.shape[3]) for layer in cache.layers]


class _Decoder(nn.Module):
    """A causal language model with its cache spread out.

    The cache is made without the config: layers with a sliding window keep all of the past then, and the mask does the
    rest, so that one length holds for all.
    """

    def __init__(self, model: PreTrainedModel, layers: int) -> None:
        super().__init__()
        self.model, self.layers = model, layers
        self.cache_name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        from transformers import DynamicCache

        past = [tuple(inputs[f"past_key_values.{i}.{kind}"] for kind in ("key", "value")) for i in range(self.layers)]
        rest = {name: tensor for name, tensor in inputs.items() if not name.startswith("past_key_values.")}
        output = self.model(**rest, **{self.cache_name: DynamicCache(past)}, use_cache=True)
        present = layers_of(cache_of(output)[1])
        return (output.logits.float(), *(tensor for layer in present for tensor in layer))


class _Encoder(nn.Module):
    """A model that is read in one go, or the encoder of two; with the pooling of its vectors, if there are any."""

    def __init__(self, model: nn.Module, pooling: Pooling | None, settings: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.pooling, self.settings = model, pooling, settings
        self.kept: list[str] = []

    def find_outputs(self, inputs: Mapping[str, Tensor]) -> list[str]:
        """Return the names of what the model answers, by asking it: logits or, where there are none, everything."""
        with torch.no_grad():
            output = self.model(**inputs, **self.settings)
        tensors = [name for name, value in output.items() if torch.is_tensor(value)]
        self.kept = [name for name in tensors if name.endswith("logits")] or tensors
        return [*self.kept, *([] if self.pooling is None else [SENTENCE])]

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        output = self.model(**inputs, **self.settings)
        found = [output[name].float() for name in self.kept]
        if self.pooling is not None:
            found.append(self.pooling(output.last_hidden_state.float(), inputs["attention_mask"]))
        return tuple(found)
