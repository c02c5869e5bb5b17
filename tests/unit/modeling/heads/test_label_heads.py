"""Sequence and token classification: on any body, with names, and never with another model's labels."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.build import ModelConfig, build_model, check_model
from llmkit.modeling.heads import head_of
from llmkit.modeling.heads.causal_lm import CausalLM
from llmkit.modeling.heads.masked_lm import MaskedLM
from llmkit.modeling.heads.sequence_classification import SequenceClassification
from llmkit.modeling.heads.token_classification import TokenClassification
from llmkit.modeling.load import load_model

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 40}
SIZES = {
    "bert": SMALL,
    "roberta": {**SMALL, "pad_token_id": 1, "max_position_embeddings": 32},
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "vocab_size": 40},
    "deberta-v2": {**SMALL, "pad_token_id": 0},
    "modernbert": {**SMALL, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1,
                   "sep_token_id": 2},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 40, "bos_token_id": 1, "eos_token_id": 2},
    "llama": {**SMALL, "num_key_value_heads": 1},
    "t5": {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 32, "vocab_size": 40, "eos_token_id": 2,
           "decoder_start_token_id": 0},
    "bart": {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 40,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "eos_token_id": 2},
}  # fmt: skip
PAD = 3
MULTI = "multi_label_classification"


def save(folder, arch, auto="AutoModel", **settings):
    """A model of transformers with the same weights every time."""
    config = transformers.AutoConfig.for_model(arch, **SIZES[arch], **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, auto).from_config(config)
    model.save_pretrained(folder)
    return model


def stored(folder):
    return json.loads((folder / "config.json").read_text())


TEXTS, TOKENS = SequenceClassification(labels=["a", "b", "c"]), TokenClassification(labels=["a", "b"])


@pytest.mark.parametrize(
    ("arch", "auto", "heads"),
    [
        ("bert", "AutoModel", [TEXTS, TOKENS]),  # as a sentence encoder
        ("bert", "AutoModelForMaskedLM", [TEXTS, TOKENS]),  # has no pooler
        ("bert", "AutoModelForPreTraining", [TEXTS, TOKENS]),
        ("roberta", "AutoModelForMaskedLM", [TEXTS, TOKENS]),
        ("distilbert", "AutoModelForMaskedLM", [TEXTS, TOKENS]),
        ("deberta-v2", "AutoModel", [TEXTS, TOKENS]),
        ("modernbert", "AutoModelForMaskedLM", [TEXTS, TOKENS]),
        ("gpt2", "AutoModelForCausalLM", [TEXTS, TOKENS]),
        ("llama", "AutoModelForCausalLM", [TEXTS, TOKENS]),
        ("llama", "AutoModelForSequenceClassification", [TEXTS, TOKENS]),
        ("t5", "AutoModelForSeq2SeqLM", [TEXTS, TOKENS]),
        ("bart", "AutoModelForSeq2SeqLM", [TEXTS]),
    ],
)
def test_a_body_gets_a_head(tmp_path, arch, auto, heads):
    vocabulary = save(tmp_path, arch, auto).get_input_embeddings().weight
    for head in heads:
        state = torch.get_rng_state()
        model, again, other = (load_model(tmp_path, head, seed=seed, pad_token_id=PAD) for seed in (1, 1, 2))
        assert torch.equal(torch.get_rng_state(), state)
        assert not model.training
        assert type(model).__name__.endswith(f"For{type(head).__name__}")
        logits = model(input_ids=torch.tensor([[5, 6, 2], [7, 8, 2]])).logits
        assert logits.shape == ((2, 3) if head is TEXTS else (2, 3, 2))
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
        named = dict(model.named_parameters())
        new = [name for name, weight in other.named_parameters() if not torch.equal(weight, named[name])]
        assert new
        assert all(map(head.may_be_new, new))
        assert torch.equal(model.get_input_embeddings().weight, vocabulary)


@pytest.mark.parametrize("arch", ["gpt2", "llama"])
def test_a_decoder_reads_the_label_before_its_padding(tmp_path, arch):
    save(tmp_path, arch, "AutoModelForCausalLM")
    model = load_model(tmp_path, SequenceClassification(), pad_token_id=PAD)
    assert model.config.pad_token_id == PAD
    padded = torch.tensor([[5, 6, 7], [8, PAD, PAD]])
    with torch.no_grad():
        together = model(input_ids=padded, attention_mask=(padded != PAD).long()).logits
        alone = [model(input_ids=torch.tensor([ids])).logits[0] for ids in ([5, 6, 7], [8])]
    assert torch.allclose(together, torch.stack(alone), atol=1e-6)


def test_positions_after_the_padding_id_stay_where_they_are(tmp_path):
    save(tmp_path, "roberta")
    model = load_model(tmp_path, SequenceClassification(), pad_token_id=PAD)
    assert model.config.pad_token_id == 1


def test_names_and_problem_type_are_saved_and_read_back(tmp_path):
    save(tmp_path / "body", "bert")
    head = SequenceClassification(labels=["sport", "poetry", "weather"], problem_type=MULTI)
    model = load_model(tmp_path / "body", head)
    model.save_pretrained(tmp_path / "clf")
    found = stored(tmp_path / "clf")
    assert found["id2label"] == {"0": "sport", "1": "poetry", "2": "weather"}
    assert found["label2id"] == {"sport": 0, "poetry": 1, "weather": 2}
    assert found["problem_type"] == MULTI
    loaded = load_model(tmp_path / "clf")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    assert head_of(loaded.config) == head


@pytest.mark.parametrize(
    ("fields", "labels", "problem_type", "answer"),
    [
        ({}, ["LABEL_0", "LABEL_1"], "single_label_classification", "label"),
        ({"num_labels": 1}, ["LABEL_0"], "regression", "number"),  # as transformers trains it
        ({"id2label": {0: "a", 1: "b"}, "problem_type": "regression"}, ["a", "b"], "regression", "number"),
        ({"num_labels": 1, "problem_type": MULTI}, ["LABEL_0"], MULTI, "label"),
    ],
)
def test_the_head_of_a_classifier_made_elsewhere(fields, labels, problem_type, answer):
    head = head_of(transformers.AutoConfig.for_model("bert", architectures=["BertForSequenceClassification"], **fields))
    assert (head.labels, head.problem_type, head.answer) == (labels, problem_type, answer)


def test_a_regression_has_one_number_unless_more_are_named(tmp_path):
    save(tmp_path, "bert")
    one = load_model(tmp_path, SequenceClassification(problem_type="regression"))
    two = load_model(tmp_path, SequenceClassification(labels=["joy", "fear"], problem_type="regression"))
    assert (one.config.num_labels, two.config.num_labels) == (1, 2)
    assert one.config.problem_type == two.config.problem_type == "regression"


@pytest.mark.parametrize(
    ("saved", "asked", "kept"),
    [
        (["bad", "good"], ["bad", "good"], True),
        (["bad", "good"], [], True),
        (["LABEL_0", "LABEL_1"], ["bad", "good"], True),  # only now they have names
        (["bad", "good"], ["good", "bad"], False),  # the old layer would say the opposite
        (["bad", "good"], ["cat", "dog"], False),
        (["bad", "good"], ["bad", "fair", "good"], False),
    ],
)
def test_outputs_for_other_labels_are_new(tmp_path, saved, asked, kept):
    model = save(tmp_path, "bert", "AutoModelForSequenceClassification", id2label=dict(enumerate(saved)), label2id={})
    with torch.no_grad():
        model.classifier.bias.fill_(5)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path, SequenceClassification(labels=asked), seed=4)
    assert torch.equal(loaded.bert.pooler.dense.weight, model.bert.pooler.dense.weight)
    assert list(loaded.config.id2label.values()) == (asked or saved)
    if kept:
        assert torch.equal(loaded.classifier.weight, model.classifier.weight)
        assert torch.equal(loaded.classifier.bias, model.classifier.bias)
    else:
        again = load_model(tmp_path, SequenceClassification(labels=asked), seed=4).classifier.weight
        assert not loaded.classifier.bias.any()
        assert torch.equal(loaded.classifier.weight, again)
        assert 0.01 < loaded.classifier.weight.std() < 0.03  # initializer_range is 0.02
        assert not torch.equal(loaded.classifier.weight[:2], model.classifier.weight)


def test_a_layer_for_whole_texts_is_none_for_tokens(tmp_path):
    model = save(tmp_path, "llama", "AutoModelForSequenceClassification")
    loaded = load_model(tmp_path, TokenClassification(labels=["a", "b"]))
    assert loaded.score.weight.shape == model.score.weight.shape
    assert not torch.equal(loaded.score.weight, model.score.weight)


def test_a_damaged_body_is_not_made_up(tmp_path):
    save(tmp_path, "bert")
    file = tmp_path / "model.safetensors"
    weights, name = load_file(file), "encoder.layer.0.output.dense.bias"
    lost = weights.pop(name)
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(DataError) as caught:
        load_model(tmp_path, SequenceClassification())
    assert (
        "lacks 1 weights of BertForSequenceClassification: bert.encoder.layer.0.output.dense.bias"
        in caught.value.message
    )
    assert "it was saved as BertModel" in caught.value.hint
    save_file({**weights, "encoder.layer.0.output.dense.bias": lost[:9].clone()}, file, {"format": "pt"})
    with pytest.raises(
        DataError, match=r"bert\.encoder\.layer\.0\.output\.dense\.bias is \[9\], and \[16\] by its config"
    ):
        load_model(tmp_path, SequenceClassification())


def test_a_classifier_without_its_layer_is_damaged_unless_a_new_one_is_asked_for(tmp_path):
    save(tmp_path, "bert", "AutoModelForSequenceClassification")
    file = tmp_path / "model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if k != "classifier.bias"}, file, {"format": "pt"})
    with pytest.raises(DataError, match=r"lacks 1 weights of BertForSequenceClassification: classifier\.bias"):
        load_model(tmp_path)
    assert not load_model(tmp_path, SequenceClassification()).classifier.bias.any()


def test_an_architecture_that_cannot_have_the_head(tmp_path):
    with pytest.raises(ConfigError, match="'bart' has no head for labels of tokens") as caught:
        check_model(ModelConfig(arch="bart"), TokenClassification())
    assert caught.value.hint == "for example bert, modernbert, llama"
    save(tmp_path, "bart", "AutoModelForSeq2SeqLM")
    with pytest.raises(DataError, match=r"architecture 'bart' has no head for labels of tokens"):
        load_model(tmp_path, TokenClassification())


def test_a_classifier_is_no_language_model(tmp_path):
    save(tmp_path, "llama", "AutoModelForSequenceClassification", tie_word_embeddings=True)
    with pytest.raises(DataError, match="is not a causal language model: it was saved as LlamaForSequenceCl") as caught:
        load_model(tmp_path, CausalLM())
    assert caught.value.hint == "name one that was saved as LlamaForCausalLM"
    save(tmp_path / "bert", "bert", "AutoModelForSequenceClassification")
    with pytest.raises(DataError, match=r"lacks .* weights of BertForMaskedLM: cls\."):
        load_model(tmp_path / "bert", MaskedLM())


@pytest.mark.parametrize("head", [SequenceClassification, TokenClassification])
def test_labels_that_make_no_sense(tmp_path, head):
    save(tmp_path, "bert")
    with pytest.raises(ConfigError, match="labels: 'a' is there twice"):
        load_model(tmp_path, head(labels=["a", "b", "a"]))
    if head is SequenceClassification:
        with pytest.raises(ConfigError, match="labels: there is only one to choose from"):
            load_model(tmp_path, head(labels=["a"]))
        assert load_model(tmp_path, head(labels=["a"], problem_type=MULTI)).config.num_labels == 1


@pytest.mark.parametrize("arch", ["bert", "llama", "t5", "bart"])
def test_a_new_classifier(arch):
    vocabulary = SimpleNamespace(size=40, bos=1, eos=2, pad=0, cls=None, sep=None, mask=None, unk=None)
    settings = {name: value for name, value in SIZES[arch].items() if not name.endswith("_token_id")}
    model = build_model(
        ModelConfig(arch=arch, config=settings), head=SequenceClassification(labels=["a", "b", "c"]),
        max_positions=8, seed=0, vocabulary=vocabulary,
    )  # fmt: skip
    assert (model.config.pad_token_id, model.config.num_labels) == (0, 3)
    assert model(input_ids=torch.tensor([[5, 2]])).logits.shape == (1, 3)
