"""ONNX graphs that onnxruntime, transformers.js and onnxruntime-genai load, in the browser as on a server.

DIR/onnx/model.onnx  config.json  generation_config.json  tokenizer.json ...  genai_config.json (of decoders)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from llmkit.core.extras import check
from llmkit.exporters import Exporter, Limits, Usage
from llmkit.exporters._compared import DECODERS, ENCODERS, why_not_traced
from llmkit.runtimes import Runtime
from llmkit.runtimes.onnxruntime import OnnxRuntime
from llmkit.runtimes.transformers_js import TransformersJs

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.exporters._onnx_graphs import Graph
    from llmkit.modeling.heads import Answer, Head

TWO_SIDED = frozenset({"bart", "marian", "mbart", "mt5", "t5"})
KNOWN = DECODERS | ENCODERS | TWO_SIDED
NAMED = {"float32": "fp32", "float16": "fp16", "int8": "q8"}
"""How transformers.js calls number formats."""


class Onnx(Exporter):
    """Write graphs, and what transformers.js, onnxruntime-genai and sentence-transformers look for beside them."""

    dtype: Literal["float32", "float16", "int8"] = "float32"
    """Number format of the weights. float16 is for GPUs, browsers' too; int8, a quarter of the size, is for CPUs:
    weights have 8 bits, and what they are multiplied with is rounded to 8 bits as it comes."""
    max_logit_difference: float | None = Field(None, ge=0)
    """Largest difference of a logit that passes in float32 and float16; null for the default of the format."""
    min_top1: float | None = Field(None, ge=0, le=1)
    """Least share of the likeliest choices that int8 must leave as they are, but for ties; null for 0.98."""

    def check_installed(self) -> None:
        """Find out whether the extra is there."""
        for module in ("onnx", "onnxscript", "onnxruntime"):
            check("onnx", module)

    def supports(self, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> str | None:  # noqa: ARG002
        """Return why not: an architecture that was not tried, or one whose numbers depend on the length of the text."""
        from llmkit.modeling.heads import head_of

        if why := why_not_traced(config, KNOWN):
            return why
        answer = head_of(config).answer
        if config.is_encoder_decoder and answer not in ("tokens", "vector"):
            return "of encoder-decoders, those that write and those that give vectors have a graph here"
        return None

    def write(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path
    ) -> Sequence[str] | None:
        """Trace the model's graphs and write them, one after the other."""
        import torch

        from llmkit.exporters import _onnx_rounded
        from llmkit.exporters._onnx_files import DTYPES, FOLDER, SUFFIXES, write_graph
        from llmkit.exporters._onnx_settings import write_configs

        # Attention of torch's own leaves rows that see nothing, as padding on the left does, at NaN.
        model.set_attn_implementation("eager")
        if self.dtype == "float16":
            model.to(torch.float16)
        elif self.dtype == "int8":
            _onnx_rounded.round_weights(model)
        folder, apart = directory / FOLDER, {}
        folder.mkdir()
        for graph in _graphs(model, directory):
            if write_graph(graph, self.dtype, folder):
                apart[f"{graph.name}{SUFFIXES[self.dtype]}.onnx"] = 1
            if graph.name == "model" and "past_key_values.0.key" in graph.inputs:
                _write_genai(model, tokenizer, directory, graph, f"{FOLDER}/{graph.name}{SUFFIXES[self.dtype]}.onnx")
        settings: dict[str, Any] = {"dtype": DTYPES[self.dtype], "use_external_data_format": apart}
        write_configs(model, directory, {name: value for name, value in settings.items() if value})
        # transformers.js looks for a chat template in tokenizer_config.json, and nowhere else.
        tokenizer.save_pretrained(directory, save_jinja_files=False)
        return None

    def usage(self, head: Head) -> Usage:
        """Return transformers.js: the same lines whatever the head."""
        lines = (
            'import { pipeline } from "@huggingface/transformers";',
            "",
            f'const run = await pipeline("{head.pipeline}", "DIR", {{ dtype: "{NAMED[self.dtype]}" }});',
        )
        return Usage("transformers.js", "js", "\n".join(lines))

    def runtime(self) -> Runtime:
        """Return onnxruntime alone."""
        return OnnxRuntime()

    def readers(self) -> Sequence[Runtime]:
        """Return transformers.js, whose tokenizers and templates are written anew in JavaScript."""
        return [TransformersJs()]

    def as_run(self, model: PreTrainedModel) -> AbstractContextManager[None] | None:
        """Return what rounds as onnxruntime does, of weights of 8 bits."""
        if self.dtype != "int8":
            return None
        from llmkit.exporters import _onnx_rounded

        return _onnx_rounded.as_run(model)

    def limits(self, answer: Answer, spread: float, config: PreTrainedConfig) -> Limits:  # noqa: ARG002
        """Return those of the number format, or the user's own."""
        if self.dtype == "int8":
            found = Limits.of("8-bit", answer, spread)
            return found if self.min_top1 is None else replace(found, top1=self.min_top1)
        if self.max_logit_difference is not None:
            return Limits(difference=self.max_logit_difference, exact=self.dtype == "float32")
        return Limits.of(self.dtype, answer, spread)


def _graphs(model: PreTrainedModel, directory: Path) -> list[Graph]:
    from llmkit.exporters import _onnx_graphs, _onnx_two_sides
    from llmkit.modeling.heads import head_of
    from llmkit.modeling.pooling import pooling_of

    head = head_of(model.config)
    if head.answer == "tokens":
        return (
            _onnx_two_sides.of_encoder_decoder(model)
            if model.config.is_encoder_decoder
            else [_onnx_graphs.of_decoder(model)]
        )
    pooling = pooling_of(directory) if head.answer == "vector" else None
    return [_onnx_graphs.of_encoder(model, head, pooling)]


def _write_genai(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path, graph: Graph, file: str
) -> None:
    from llmkit.exporters._onnx_settings import write_genai

    caches = [
        (int(sample.shape[1]), int(sample.shape[3])) for name, sample in graph.inputs.items() if name.endswith(".key")
    ]
    write_genai(model, tokenizer, directory, file, caches)
