"""The two graphs of an encoder-decoder that writes: its encoder, and its decoder with both caches.

transformers.js loads `encoder_model.onnx` and `decoder_model_merged.onnx`. Merged used to mean two graphs behind a
switch, one that reads the encoder's output and one that has its keys and values already. Here it is one: only those
positions of the encoder's output are read that the past does not have, all of them at first, and none from then on.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from llmkit.exporters._onnx_graphs import BATCH, BEFORE, PAST, ROWS, SEQUENCE, TIME, Graph, past_names, sample_ids
from llmkit.runtimes._sharing import cache_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SOURCE = 11
"""Tokens of the sample that the encoder has read."""
KNOWN = 4
"""Of these, how many have keys and values: neither none nor all, or the graph would hold what is special of that."""
ENCODED, ENCODED_BEFORE = "encoder_sequence_length", "past_encoder_sequence_length"


def of_encoder_decoder(model: PreTrainedModel) -> list[Graph]:
    """Return the graphs of an encoder-decoder that writes."""
    names = ("input_ids", "attention_mask")
    inputs = {name: torch.ones(ROWS, SOURCE, dtype=torch.long) for name in names} | {
        "input_ids": sample_ids(ROWS, SOURCE)
    }
    encoder = Graph(
        "encoder_model", _Side(model.get_encoder()), inputs, {name: {0: BATCH, 1: ENCODED} for name in names},
        ["last_hidden_state"],
    )  # fmt: skip
    return [encoder, _of_decoder(model)]


def _of_decoder(model: PreTrainedModel) -> Graph:
    caches = _caches(model)
    hidden = model.config.get_text_config().hidden_size
    inputs = {
        "encoder_attention_mask": torch.ones(ROWS, SOURCE, dtype=torch.long),
        "input_ids": sample_ids(ROWS, TIME),
        "encoder_hidden_states": torch.randn(ROWS, SOURCE, hidden, dtype=model.dtype),
    }
    axes = {name: {0: BATCH, 1: ENCODED} for name in inputs} | {"input_ids": {0: BATCH, 1: SEQUENCE}}
    outputs = ["logits"]
    for side, layers in caches.items():
        length, axis = (PAST, BEFORE) if side == "decoder" else (KNOWN, ENCODED_BEFORE)
        for name, (heads, size) in past_names("past_key_values", layers, f".{side}").items():
            inputs[name] = torch.randn(ROWS, heads, length, size, dtype=model.dtype)
            axes[name] = {0: BATCH, 2: axis}
        outputs += past_names("present", layers, f".{side}")
    return Graph("decoder_model_merged", _Merged(model, len(caches["decoder"])), inputs, axes, outputs)


def _caches(model: PreTrainedModel) -> dict[str, list[tuple[int, int]]]:
    with torch.no_grad():
        ids = sample_ids(1, 2)
        cache = cache_of(model(input_ids=ids, decoder_input_ids=ids.clone(), use_cache=True))[1]
    sides = {"decoder": cache.self_attention_cache, "encoder": cache.cross_attention_cache}
    return {side: [(layer.keys.shape[1], layer.keys.shape[3]) for layer in part.layers] for side, part in sides.items()}


class _Side(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        hidden: Tensor = self.model(**inputs).last_hidden_state
        return hidden


class _Merged(nn.Module):
    """The decoder; what it hands on of the encoder is, from the second call on, what it was given."""

    def __init__(self, model: PreTrainedModel, layers: int) -> None:
        super().__init__()
        self.model, self.layers = model, layers
        self.cache_name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        from transformers import DynamicCache, EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        own, other = (self._past(inputs, side) for side in ("decoder", "encoder"))
        cache = EncoderDecoderCache(DynamicCache(own), DynamicCache(other))
        cache.is_updated = dict.fromkeys(cache.is_updated, False)  # else nothing would be read of the encoder
        hidden = inputs["encoder_hidden_states"][:, other[0][0].shape[2] :]
        output = self.model(
            decoder_input_ids=inputs["input_ids"], encoder_outputs=BaseModelOutput(hidden), use_cache=True,
            attention_mask=_additive(inputs["encoder_attention_mask"], hidden.dtype), **{self.cache_name: cache},
        )  # fmt: skip
        found: Any = cache_of(output)[1]
        sides: Sequence[Any] = (found.self_attention_cache, found.cross_attention_cache)
        layers = (tensor for side in sides for layer in side.layers for tensor in (layer.keys, layer.values))
        return (output.logits.float(), *layers)

    def _past(self, inputs: dict[str, Tensor], side: str) -> list[tuple[Tensor, ...]]:
        return [
            tuple(inputs[f"past_key_values.{i}.{side}.{kind}"] for kind in ("key", "value")) for i in range(self.layers)
        ]


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask `[rows, time]` as what is added to attention `[rows, 1, 1, time]`: models leave such as it is."""
    return (1 - mask[:, None, None, :].to(dtype)) * torch.finfo(dtype).min
