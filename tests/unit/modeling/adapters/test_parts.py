"""What `head` and `layers` train, of architectures that name their parts differently; names checked by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from llmkit.core.errors import ConfigError
from llmkit.modeling.adapters._parts import shortest
from llmkit.modeling.adapters.full import Full
from llmkit.modeling.adapters.head import Head
from llmkit.modeling.adapters.layers import Layers
from llmkit.modeling.heads import head_of

SIZES: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "pad_token_id": None,
}  # fmt: skip
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 2, "vocab_size": 40}


def made(auto: Any, arch: str, **settings: Any) -> Any:
    sizes = T5 if arch == "t5" else SIZES
    with torch.device("meta"):
        model = auto.from_config(AutoConfig.for_model(arch, **{**sizes, **settings}))
    model.config.architectures = [type(model).__name__]
    return model


def trained(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def modules(model: Any) -> set[str]:
    return {name.rpartition(".")[0] for name in trained(model)}


@pytest.mark.parametrize(("auto", "arch", "settings", "wanted"), [
    (AutoModelForSequenceClassification, "llama", {}, {"score"}),
    (AutoModelForSequenceClassification, "bert", {}, {"bert.pooler.dense", "classifier"}),
    (AutoModelForSequenceClassification, "distilbert", {}, {"pre_classifier", "classifier"}),
    (AutoModelForTokenClassification, "bert", {}, {"classifier"}),
    (AutoModelForCausalLM, "llama", {"tie_word_embeddings": False}, {"lm_head"}),
    (AutoModelForCausalLM, "llama", {"tie_word_embeddings": True}, {"model.embed_tokens"}),
    (AutoModelForMaskedLM, "bert", {}, {"cls.predictions", "cls.predictions.transform.dense",
                                        "cls.predictions.transform.LayerNorm"}),
    (AutoModelForSeq2SeqLM, "t5", {}, {"shared"}),
])  # fmt: skip
def test_the_head_is_what_stands_on_the_body(auto, arch, settings, wanted):
    model = made(auto, arch, **settings)
    Head().wrap(model, head_of(model.config))
    assert modules(model) == wanted


@pytest.mark.parametrize(("auto", "arch", "settings", "blocks", "beside"), [
    (AutoModelForCausalLM, "llama", {"tie_word_embeddings": False}, "model.layers.{}", {"model.norm", "lm_head"}),
    (AutoModelForCausalLM, "llama", {"tie_word_embeddings": True}, "model.layers.{}", {"model.norm"}),
    (AutoModelForCausalLM, "gpt2", {}, "transformer.h.{}", {"transformer.ln_f"}),
    (AutoModelForCausalLM, "opt", {"ffn_dim": 24, "word_embed_proj_dim": 16}, "model.decoder.layers.{}",
     {"model.decoder.final_layer_norm"}),
    (AutoModelForSequenceClassification, "bert", {}, "bert.encoder.layer.{}", {"bert.pooler.dense", "classifier"}),
    (AutoModelForSequenceClassification, "modernbert", {}, "model.layers.{}",
     {"model.final_norm", "head.dense", "head.norm", "classifier"}),
    (AutoModelForSeq2SeqLM, "t5", {}, "decoder.block.{}", {"decoder.final_layer_norm"}),
])  # fmt: skip
def test_the_last_layers_are_trained_with_the_norm_and_the_head_after_them(auto, arch, settings, blocks, beside):
    model = made(auto, arch, **settings)
    Layers(last=1).wrap(model, head_of(model.config))
    last = {name for name in modules(model) if name.startswith(blocks.format(2))}
    assert {name for name, _ in model.named_parameters() if name.startswith(blocks.format(2) + ".")} <= trained(model)
    assert modules(model) - last == beside


def test_more_layers_than_there_are_is_refused():
    model = made(AutoModelForCausalLM, "llama")
    with pytest.raises(ConfigError, match=r"adapter.last: 4 layers of a model that has 3"):
        Layers(last=4).wrap(model, head_of(model.config))


def test_all_weights_are_trained_unwrapped():
    model = made(AutoModelForCausalLM, "llama")
    Full().wrap(model, head_of(model.config))
    assert trained(model) == {name for name, _ in model.named_parameters()}
    targets = Full().describe(model)
    assert targets.trained == targets.total


def test_what_trains_the_weights_themselves_cannot_be_switched_off():
    model = made(AutoModelForCausalLM, "llama")
    for adapter in (Full(), Head(), Layers()):
        with pytest.raises(ConfigError, match="trains the model's own weights"), adapter.off(model):
            pass


def test_the_shortest_ending_that_means_nothing_else():
    names = ["layers.0.attention.output.dense", "layers.1.attention.output.dense", "layers.0.attention.query"]
    assert shortest(names, ["pooler.dense", "layers.0.output.dense"]) == ["attention.output.dense", "query"]
