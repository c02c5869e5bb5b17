"""Weights of 8 or 4 bits in the forms of compressed-tensors, which vLLM and transformers load, and int8 of torchao."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from llmkit.core.extras import check
from llmkit.core.inputs import Inputs
from llmkit.core.registry import Family
from llmkit.data.sources import Source
from llmkit.exporters import Exporter, Form, Limits
from llmkit.exporters._quantized_layers import as_run, body_of, distinct, form_of, is_linear, layers_of
from llmkit.runtimes import Runtime
from llmkit.runtimes.transformers import Transformers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Answer

ROW = 512
"""Tokens of a row of text that layers read for their rounding."""
FEW = 4096
"""Tokens of it, at most, by which is found out what is hard to round in what layers read."""
TEXT, MOST_NATS = 128, 0.006
"""Tokens of a row by which layers are found that are left as they are, and by what rounding what others read may move
the probabilities of the next token, in nats. The share of likeliest tokens is too coarse to choose by: of SmolLM2-135M
on English it is 99.2 % without the last layers of blocks, and without queries, keys and values just the same; on other
text 99.0 % and 96.4 %."""
COLUMNS = ("gpt2", "gpt_bigcode", "imagegpt", "openai-gpt", "decision_transformer")
"""Architectures whose layers are no `Linear`, but their transpose."""
BY_WEIGHT = ("modernbert",)
"""Architectures that transformers 5.24 loads by giving first values to `weight` of every layer, packed ones too."""


class Quantized(Exporter):
    """Write whole numbers and scales for the layers of the body; embeddings and heads stay as they are."""

    scheme: Literal["w8a8", "w4a16", "int8"] = "w8a8"
    """w8a8: weights in int8 with a scale for each row, what layers read rounded to int8 as it comes, and w4a16:
    weights in 4 bits with a scale for each group, both as compressed-tensors has them. int8: weights alone, as torchao
    has them."""
    group_size: Literal[32, 64, 128] = 128
    """Columns that share a scale in w4a16: fewer are more exact and larger. Layers whose width it does not divide stay
    as they are."""
    data: Annotated[Source | None, Family("source", shorthand=("files", "path"), also=(None,))] = None
    """Text by which weights of w8a8 and w4a16 are rounded so that the layers' outputs move least (GPTQ), and by which
    w8a8 makes what layers read easier to round (SmoothQuant, of llama, mistral, qwen2 and qwen3) and leaves layers as
    they are that stay hard; null rounds each number to the nearest."""
    calibration_tokens: int = Field(16384, ge=512)
    """Tokens of it that are read."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Number format of all other weights, and of the scales."""
    min_top1: float | None = Field(None, ge=0, le=1)
    """Least share of likeliest tokens that stay the same on text; null for 0.98 of 8 bits, and for what 4 bits are
    held to by default: 5 % more bits per byte at most."""

    def check_installed(self) -> None:
        """Ask for torchao where it writes."""
        if self.scheme == "int8":
            check("quantized", "torchao")

    def add_inputs(self, inputs: Inputs) -> None:
        """Add the text."""
        from llmkit.evaluation.reading import add_source

        if self.data is not None:
            add_source(self.data, inputs, ("corpus", "examples"), role="exporter.data")

    def supports(self, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> str | None:  # noqa: ARG002
        """Refuse architectures whose layers are no `Linear`, and an encoder that is asked before the whole model."""
        from llmkit.modeling.heads import head_of

        if config.model_type in COLUMNS:
            return f"the layers of {config.model_type} are transposed, and neither form has those"
        if self.scheme == "w4a16" and config.model_type in BY_WEIGHT:
            return (
                f"transformers does not load a {config.model_type} whose layers are packed;"
                " exporter.scheme=w8a8 and int8 are loaded"
            )
        if self.scheme != "int8" and config.is_encoder_decoder and head_of(config).answer == "tokens":
            return (
                f"transformers unpacks {self.scheme} where a whole model is called, and one that makes texts of texts"
                " has its encoder called first; exporter.scheme=int8 is read by each layer"
            )
        return None

    def write(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path
    ) -> Sequence[str] | None:
        """Round layer by layer, and write."""
        import torch

        from llmkit.modeling.generation import mend_generation

        mend_generation(model)
        tokenizer.save_pretrained(directory)
        if self.scheme == "int8":
            _write_torchao(model, getattr(torch, self.dtype), directory)
            return None
        return self._write_compressed(model, tokenizer, directory)

    def _write_compressed(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path
    ) -> list[str]:
        import torch

        from llmkit.modeling.calibration import round_layers
        from llmkit.modeling.rounding import packed

        bits = 4 if self.scheme == "w4a16" else 8
        group = self.group_size if bits == 4 else None
        rows = _rows(self.data, tokenizer, self.calibration_tokens) if self.data is not None else []
        layers, left = layers_of(model, group)
        own = self._eased(model, layers, rows) if bits == 8 and rows else []
        left = [name for name, module in model.named_modules() if name in {*left, *own} and is_linear(module)]
        layers = {name: layer for name, layer in layers.items() if name not in own}
        dtype = getattr(torch, self.dtype)
        made: dict[str, torch.Tensor] = {}
        for name, codes, exact in round_layers(model, layers, rows, bits=bits, group=group):
            scales = exact.to(dtype)
            made[f"{name}.weight_scale"] = scales
            layers[name].weight.data = codes * scales.float().repeat_interleave(codes.shape[1] // scales.shape[1], 1)
            if bits == 8:
                made[f"{name}.weight"] = codes
            else:
                made[f"{name}.weight_packed"] = packed(codes)
                made[f"{name}.weight_shape"] = torch.tensor(codes.shape)
        kept = {
            name: weight.to(dtype)
            for name, weight in distinct(model).items()
            if name.removesuffix(".weight") not in layers
        }
        model.config.quantization_config = form_of(bits, group, left)
        model.config.dtype = dtype
        model.save_pretrained(directory, state_dict=kept | made)
        for name, weight in distinct(model).items():
            if name in kept:
                weight.copy_(kept[name])  # what the files stand for
        aside = [name for name in left if name in body_of(model)]
        notes = []
        if own:
            notes.append(
                f"{len(own)} of {len(own) + len(layers)} layers are {self.dtype}: rounding what they read would move"
                f" probabilities by more than {MOST_NATS:g} nats: {_some(own)}"
            )
        elif aside:
            notes.append(f"{len(aside)} layers are {self.dtype}: {group} does not divide the width of {aside[0]}")
        how = f"by {sum(map(len, rows)):,} tokens of text" if rows else "to the nearest: no text was given to round by"
        return [f"weights were rounded {how}", *notes]

    @staticmethod
    def _eased(model: PreTrainedModel, layers: Mapping[str, torch.nn.Linear], rows: list[list[int]]) -> list[str]:
        """Smooth what layers read; return those that stay hard to round."""
        from llmkit.modeling.heads import head_of
        from llmkit.modeling.smoothing import hard_layers, smooth

        few = rows[: FEW // ROW]
        smooth(model, few)
        if head_of(model.config).answer != "tokens":
            return []
        return hard_layers(model, layers, [row[:TEXT] for row in few], _alike, -MOST_NATS)

    def runtime(self) -> Runtime:
        """Return transformers alone, with the reader of the form."""
        return Transformers(plain=True, reads="torchao" if self.scheme == "int8" else "compressed_tensors")

    def as_run(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """Return what rounds as transformers does: in w8a8 to 8 bits what layers read, and all else to its dtype."""
        import torch

        form: Any = model.config.quantization_config
        left = form["ignore"] if isinstance(form, dict) else ()
        whole = {name for name in body_of(model) if name not in left} if self.scheme == "w8a8" else set()
        return as_run(body_of(model), getattr(torch, self.dtype), whole)

    def limits(self, answer: Answer, spread: float, config: PreTrainedConfig) -> Limits:  # noqa: ARG002
        """Return what is asked of so many bits; who takes coarse weights knowingly takes no wrong graph."""
        form: Form = "4-bit" if self.scheme == "w4a16" else "8-bit"
        found = Limits.of(form, answer, spread)
        return found if self.min_top1 is None else replace(found, top1=self.min_top1, bits=None)


def _alike(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return how alike logits are: minus the divergence of their probabilities, in nats per token."""
    sure, held = ours.log_softmax(-1), theirs.log_softmax(-1)
    return -float((sure.exp() * (sure - held)).sum(-1).mean())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")


def _rows(source: Source, tokenizer: PreTrainedTokenizerFast, most: int) -> list[list[int]]:
    """Return rows of text, one document behind the other, as many tokens as are wanted or there are."""
    from llmkit.evaluation.reading import Unreadable, read_texts

    ids: list[int] = []
    for text in _texts(read_texts(source, Unreadable())):
        ids += tokenizer(text)["input_ids"]
        if len(ids) >= most:
            break
    return [ids[start : start + ROW] for start in range(0, min(len(ids), most), ROW)]


def _texts(items: Iterator[Any]) -> Iterator[str]:
    for item in items:
        fields: Mapping[str, Any] = item.fields
        yield fields["text"]


def _write_torchao(model: PreTrainedModel, dtype: torch.dtype, directory: Path) -> None:
    """Write the model, and leave in it what the files stand for."""
    import torch
    from torchao.quantization import Int8WeightOnlyConfig, quantize_
    from transformers import TorchAoConfig
    from transformers.quantizers.quantizer_torchao import TorchAoHfQuantizer

    layers, _ = layers_of(model, None)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.to(dtype)
    quantize_(model, Int8WeightOnlyConfig(), filter_fn=lambda _, name: name in layers)
    config = TorchAoConfig(Int8WeightOnlyConfig())
    model.config.quantization_config = config
    model.hf_quantizer = TorchAoHfQuantizer(config, pre_quantized=True)
    model.save_pretrained(directory)
    for layer in layers.values():
        layer.weight = torch.nn.Parameter(layer.weight.dequantize(), requires_grad=False)
    for weight in model.parameters():
        weight.data = weight.data.float()
    for name, buffer in model.named_buffers():  # tables of positions, say, which are computed anew by whoever loads it
        buffer.data = buffers[name]
