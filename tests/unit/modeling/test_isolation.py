from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "objectives"))

from blocks import ENCODER, VOCABULARY, block, model, packed, texts

from llmkit.core.errors import ConfigError
from llmkit.modeling.isolation import check_isolation, measure_isolation
from llmkit.objectives.documents import _blocks
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.objectives.documents.fill_in_the_middle import FillInTheMiddle
from llmkit.objectives.documents.masked_lm import MaskedLM
from llmkit.objectives.documents.next_sentence import NextSentence
from llmkit.objectives.documents.prefix_lm import PrefixLM
from llmkit.objectives.documents.span_corruption import SpanCorruption

CAUSAL, ENCODERS = ("llama", "qwen3", "mistral", "gpt2"), ("bert", "roberta", "albert", "modernbert")
CASES = [
    *((CausalLM(), arch) for arch in CAUSAL),
    *((PrefixLM(), arch) for arch in CAUSAL),
    (FillInTheMiddle(), "llama"),
    *((MaskedLM(), arch) for arch in ENCODERS),
    (MaskedLM(whole_word=True), "bert"),
    (SpanCorruption(), "t5"),
]
NEW = {"hidden_size": 64, "initializer_range": 0.02}  # weights as a new model has them, where a leak is smallest


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("objective", "arch"), CASES, ids=lambda case: getattr(case, "type_name", case))
def test_documents_are_isolated(objective, arch, attention):
    built = model(arch, objective.head, attention)
    assert check_isolation(built, objective, VOCABULARY) == 0
    assert measure_isolation(built, objective, VOCABULARY, packed(objective)) == 0
    assert all(parameter.grad is None for parameter in built.parameters())
    assert not built.training


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("objective", "arch"),
    [(MaskedLM(), "bert"), (MaskedLM(), "albert"), (PrefixLM(), "llama"), (SpanCorruption(), "t5")],
    ids=lambda case: getattr(case, "type_name", case),
)
def test_a_mask_that_isolates_nothing_is_found(objective, arch, attention, monkeypatch):
    monkeypatch.setattr(
        _blocks, "same_document", lambda ids: torch.ones(*ids.shape, ids.shape[1], dtype=torch.bool, device=ids.device)
    )
    built = model(arch, objective.head, attention, **({} if arch == "t5" else NEW))
    with pytest.raises(ConfigError) as caught:
        check_isolation(built, objective, VOCABULARY)
    assert caught.value.exit_code == 2
    assert f"model: {arch} lets packed documents see each other (derivatives across the border are" in str(caught.value)
    assert "packing=pad" in caught.value.hint


def test_an_architecture_without_positions_is_refused():
    built = model("bloom", "causal_lm", "eager", hidden_size=64, initializer_range=0.02)
    with pytest.raises(ConfigError, match="bloom lets packed documents see each other"):
        check_isolation(built, CausalLM(), VOCABULARY)
    with pytest.raises(ConfigError, match="bloom cannot keep packed documents apart: too many values"):
        check_isolation(built, PrefixLM(), VOCABULARY)


def test_other_attention_is_refused():
    built = model("bert", "masked_lm")
    built.config._attn_implementation_internal = "flex_attention"
    with pytest.raises(ConfigError, match="model: attention 'flex_attention' takes no mask of documents"):
        check_isolation(built, MaskedLM(), VOCABULARY)


def test_without_an_objective_the_logits_are_compared():
    assert check_isolation(model("llama", "causal_lm")) < 1e-5
    with pytest.raises(ConfigError, match=r"bloom lets packed documents see each other \(logits differ by"):
        check_isolation(model("bloom", "causal_lm", "eager"))


def test_pairs_have_nothing_to_keep_apart():
    assert measure_isolation(model("bert", "pretraining"), NextSentence(), VOCABULARY) == 0


def test_a_batch_without_two_documents_says_so():
    alone = block(*([text] for text in texts(3)), length=20)
    with pytest.raises(ConfigError, match="no block holds two documents"):
        measure_isolation(model("llama", "causal_lm"), CausalLM(), VOCABULARY, alone)


def test_the_random_state_and_the_mode_are_left_alone():
    built = model("bert", "masked_lm", **{**ENCODER, "hidden_dropout_prob": 0.5}).train()
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert check_isolation(built, MaskedLM(), VOCABULARY) == 0
    assert built.training
    assert torch.equal(before, torch.random.get_rng_state())
