"""Which architectures each format refuses, and with which words: the matrix has them beside what was run."""

from __future__ import annotations

import pytest
from transformers import AutoConfig

from cells import refused
from gguf_exports import DECODERS as GGUF
from headed import tokenizer
from llmkit.core.registry import Family
from onnx_models import DECODERS, ENCODERS, TWO_SIDED

FOREIGN = ("mamba", "bloom", "falcon")
KINDS = {
    **dict.fromkeys((*DECODERS, "gemma3_text", *FOREIGN), ("ForCausalLM", "text")),
    **dict.fromkeys(TWO_SIDED, ("ForConditionalGeneration", "text")),
    **dict.fromkeys(ENCODERS, ("ForSequenceClassification", "labels")),
}
"""By architecture the end of its class's name, and what it answers."""
WRITTEN = {
    "gguf": {kind for kind, _ in GGUF.values()},
    "onnx": {*DECODERS, *TWO_SIDED, *ENCODERS},
    "openvino": {*DECODERS, *ENCODERS},
    "quantized": {*KINDS} - {"gpt2", *TWO_SIDED},
    "quantized w4a16": {*KINDS} - {"gpt2", "modernbert", *TWO_SIDED},
    "safetensors": {*KINDS},
}


def config_of(arch):
    from transformers.models.auto import modeling_auto as auto

    ending, _ = KINDS[arch]
    tables = {
        "ForCausalLM": auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "ForConditionalGeneration": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        "ForSequenceClassification": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    }
    settings = {"sliding_window": None} if arch == "mistral" else {}
    return AutoConfig.for_model(arch, architectures=[tables[ending][arch]], **settings)


@pytest.mark.parametrize("format_", WRITTEN)
def test_what_a_format_has_no_place_for_is_refused_in_words(request, format_):
    name, _, scheme = format_.partition(" ")
    exporter = Family("exporter").parse({"type": name, **({"scheme": scheme} if scheme else {})})
    own = tokenizer_of(format_)
    found = {arch: exporter.supports(config_of(arch), own) for arch in KINDS}
    for arch, why in found.items():
        if why is not None:
            refused(request, why, format=format_, model=arch, head=KINDS[arch][1], dtype="", runtime="")
    assert {arch for arch, why in found.items() if why is None} == WRITTEN[format_]
    assert all(why is None or len(why) > 20 for why in found.values())


def tokenizer_of(format_):
    """A tokenizer that the format takes: what is asked is the architecture."""
    import gguf_files

    return gguf_files.tokenizer() if format_ == "gguf" else tokenizer()
