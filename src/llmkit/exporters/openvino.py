"""Graphs for OpenVINO, in the layout that optimum-intel and OpenVINO GenAI load.

DIR/openvino_model.xml  openvino_model.bin  openvino_tokenizer.xml  openvino_detokenizer.xml  config.json
    generation_config.json  tokenizer.json ...
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from llmkit.core.extras import check
from llmkit.exporters import Exporter, Form, Limits, Usage
from llmkit.exporters._compared import DECODERS, ENCODERS, why_not_traced
from llmkit.runtimes import Runtime
from llmkit.runtimes.openvino import MODEL, OpenVino

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.exporters._onnx_graphs import Graph
    from llmkit.modeling.heads import Answer, Head

KNOWN = DECODERS | ENCODERS
FORMS: dict[str, Form] = {"float32": "float32", "float16": "float16", "int8": "8-bit"}
DETOKENIZER = "openvino_detokenizer.xml"


class Openvino(Exporter):
    """Write one graph: of a decoder with its cache inside, of what is read in one go with its head and its pooling."""

    dtype: Literal["float32", "float16", "int8"] = "float32"
    """Number format of the weights in the file. int8, a quarter of the size, has a scale for each output of a matrix
    and needs no text to calibrate on; what is computed with is up to the device."""
    max_logit_difference: float | None = Field(None, ge=0)
    """Largest difference of a logit that passes; null for what is asked of the number format by default."""

    def check_installed(self) -> None:
        """Find out whether the extra is there."""
        for module in ("openvino", "openvino_tokenizers"):
            check("openvino", module)

    def supports(self, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> str | None:  # noqa: ARG002
        """Return why not: an architecture that was not tried, or one whose numbers depend on the length of the text."""
        return why_not_traced(config, KNOWN)

    def write(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path
    ) -> Sequence[str] | None:
        """Convert the graph, and the tokenizer where it reads the same, and write both."""
        from llmkit.exporters._openvino_graph import converted, keep_past, round_weights, save
        from llmkit.modeling.generation import mend_generation

        left = mend_generation(model)
        notes = [f"the generation config is without what does nothing in it: {', '.join(left)}"] if left else []
        # Attention of torch's own leaves rows that see nothing, as padding on the left does, at NaN.
        model.set_attn_implementation("eager")
        graph = _graph(model, directory)
        made = converted(graph)
        if any(name.startswith("past_key_values.") for name in graph.inputs):
            keep_past(made)
        if self.dtype == "int8":
            round_weights(made, graph)
        save(made, directory / MODEL, half=self.dtype == "float16")
        del made
        model.config.save_pretrained(directory)
        if model.can_generate():
            model.generation_config.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        return [*notes, *_write_tokenizer(model.config, tokenizer, directory)]

    def usage(self, head: Head) -> Usage:
        """Return optimum-intel, whose classes are called as those of transformers are."""
        name = head.auto_class.replace("Auto", "OV", 1) if head.answer != "vector" else "OVModelForFeatureExtraction"
        code = f'from optimum.intel import {name}\n\nmodel = {name}.from_pretrained("DIR")'
        return Usage("openvino", "python", code)

    def runtime(self) -> Runtime:
        """Return OpenVINO alone."""
        return OpenVino()

    def as_run(self, model: PreTrainedModel) -> AbstractContextManager[None] | None:  # noqa: ARG002
        """Return that OpenVINO, as its runtime here sets it up, rounds nothing but the weights, to 8 bits."""
        return nullcontext() if self.dtype == "int8" else None

    def limits(self, answer: Answer, spread: float, config: PreTrainedConfig) -> Limits:  # noqa: ARG002
        """Return those of the number format, or the user's own difference."""
        if self.max_logit_difference is not None:
            return Limits(difference=self.max_logit_difference, exact=self.dtype == "float32")
        return Limits.of(FORMS[self.dtype], answer, spread)


def _graph(model: PreTrainedModel, directory: Path) -> Graph:
    from llmkit.exporters._onnx_graphs import of_decoder, of_encoder
    from llmkit.modeling.heads import head_of
    from llmkit.modeling.pooling import pooling_of

    head = head_of(model.config)
    if head.answer == "tokens":
        return of_decoder(model)
    return of_encoder(model, head, pooling_of(directory) if head.answer == "vector" else None)


def _write_tokenizer(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, directory: Path) -> list[str]:
    """Write the tokenizer as a graph if it gives the ids that it should; else say why not, and what reads instead."""
    from llmkit.core.extras import require
    from llmkit.evaluation.probes import probes
    from llmkit.exporters._openvino_graph import save
    from llmkit.modeling.architecture import one_line
    from llmkit.modeling.heads import head_of
    from llmkit.runtimes._openvino_sessions import TOKENIZER, TextReader, library

    library()
    logging.getLogger("openvino_tokenizers").setLevel(logging.ERROR)
    instead = f"{TOKENIZER} is not written, and tokenizer.json reads text instead"
    try:
        reading, writing = require("openvino", "openvino_tokenizers").convert_tokenizer(
            tokenizer, with_detokenizer=True
        )
    except Exception as error:  # noqa: BLE001 - what it does not know of a tokenizer ends in all kinds of errors
        return [f"{instead}: openvino_tokenizers does not convert it ({one_line(error)})"]
    files = {directory / TOKENIZER: reading, directory / DETOKENIZER: writing}
    for file, graph in files.items():
        save(graph, file)
    read = TextReader(directory / TOKENIZER)
    texts = probes(config, head_of(config), tokenizer, positions=None, prompts=1, new_tokens=1, seed=0).texts
    for text in texts:
        if read(text) != list(tokenizer(text)["input_ids"]):
            for file in files:
                file.unlink()
                file.with_suffix(".bin").unlink()
            return [f"{instead}: as a graph it reads {text!r} otherwise"]
    return []
