"""Weights of 8 or 4 bits in the forms of compressed-tensors, which vLLM and transformers load, and int8 of torchao."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from llmkit.core.extras import check
from llmkit.core.inputs import Inputs
from llmkit.core.registry import Family
from llmkit.data.sources import Source
from llmkit.exporters import Exporter, Form, Limits
from llmkit.runtimes import Runtime
from llmkit.runtimes.transformers import Transformers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Answer

ROW = 512
"""Tokens of a row of text that layers read for their rounding."""
COLUMNS = ("gpt2", "gpt_bigcode", "imagegpt", "openai-gpt", "decision_transformer")
"""Architectures whose layers are no `Linear`, but their transpose."""


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
    """Text by which weights of w8a8 and w4a16 are rounded so that the layers' outputs move least (GPTQ); null rounds
    each to the nearest."""
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
        layers, left = _layers(model, group)
        rows = _rows(self.data, tokenizer, self.calibration_tokens) if self.data is not None else []
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
            for name, weight in _distinct(model).items()
            if name.removesuffix(".weight") not in layers
        }
        model.config.quantization_config = _form(bits, group, left)
        model.config.dtype = dtype
        model.save_pretrained(directory, state_dict=kept | made)
        for name, weight in _distinct(model).items():
            if name in kept:
                weight.copy_(kept[name])  # what the files stand for
        aside = [name for name in left if name in _body(model)]
        notes = (
            [f"{len(aside)} layers are {self.dtype}: {group} does not divide the width of {aside[0]}"] if aside else []
        )
        how = f"by {sum(map(len, rows)):,} tokens of text" if rows else "to the nearest: no text was given to round by"
        return [f"weights were rounded {how}", *notes]

    def runtime(self) -> Runtime:
        """Return transformers alone, with the reader of the form."""
        return Transformers(plain=True, reads="torchao" if self.scheme == "int8" else "compressed_tensors")

    def as_run(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """Return what rounds as transformers does: in w8a8 to 8 bits what layers read, and all else to its dtype."""
        import torch

        return _as_run(_layers(model, None)[0].values(), getattr(torch, self.dtype), whole=self.scheme == "w8a8")

    def limits(self, answer: Answer, spread: float, config: PreTrainedConfig) -> Limits:  # noqa: ARG002
        """Return what is asked of so many bits."""
        form: Form = "4-bit" if self.scheme == "w4a16" else "8-bit"
        return Limits.of(form, answer, spread) if self.min_top1 is None else Limits(top1=self.min_top1)


@contextmanager
def _as_run(layers: Iterable[torch.nn.Linear], dtype: torch.dtype, *, whole: bool) -> Iterator[None]:
    """Round what layers read and give to a dtype, and what they read to 8 bits, a scale for each token, if `whole`."""

    def read(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        found = given[0].to(dtype).float()
        if whole:
            scale = (found.abs().amax(-1, keepdim=True) / 127.5).clamp_min(1e-10)
            found = (found / scale).round().clamp(-128, 127) * scale
        return (found, *given[1:])

    def gives(_: torch.nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output.to(dtype).float()

    handles = [
        handle
        for layer in layers
        for handle in (layer.register_forward_pre_hook(read), layer.register_forward_hook(gives))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _body(model: PreTrainedModel) -> dict[str, torch.nn.Linear]:
    """Return the linear layers of a model's body, by their names in the whole."""
    import torch

    within = {id(module) for module in model.base_model.modules()} - {id(model.get_output_embeddings())}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and id(module) in within
    }


def _layers(model: PreTrainedModel, group: int | None) -> tuple[dict[str, torch.nn.Linear], list[str]]:
    """Return the layers that are rounded, and the names of those that are not."""
    import torch

    body = _body(model)
    tied = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    taken = {
        name: layer
        for name, layer in body.items()
        if id(layer.weight) not in tied and (group is None or layer.in_features % group == 0)
    }
    every = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return taken, [name for name in every if name not in taken]


def _distinct(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the weights, each under the first of its names: a copy of a tied one would be one of its own."""
    names: dict[int, str] = {}
    weights = model.state_dict(keep_vars=True)
    for name, weight in weights.items():
        names.setdefault(weight.data_ptr(), name)
    return {name: weights[name].detach() for name in names.values()}


def _form(bits: int, group: int | None, ignored: Sequence[str]) -> dict[str, Any]:
    """Return what config.json says of the numbers, as compressed-tensors 0.9 and later read it."""
    weights = {
        "num_bits": bits, "type": "int", "symmetric": True, "dynamic": False,
        "strategy": "channel" if group is None else "group", "group_size": group, "observer": "minmax",
    }  # fmt: skip
    read = {
        "num_bits": 8, "type": "int", "symmetric": True, "dynamic": True, "strategy": "token", "observer": None,
    }  # fmt: skip
    groups = {"targets": ["Linear"], "weights": weights, "input_activations": read if bits == 8 else None}
    form = "int-quantized" if bits == 8 else "pack-quantized"
    return {
        "quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed",
        "config_groups": {"group_0": {**groups, "output_activations": None, "format": form}},
        "ignore": list(ignored), "kv_cache_scheme": None, "global_compression_ratio": None,
    }  # fmt: skip


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

    layers, _ = _layers(model, None)
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
