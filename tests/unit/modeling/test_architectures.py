from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.architecture import position_limit
from llmkit.modeling.build import ModelConfig, build_model, check_model
from llmkit.modeling.heads.causal_lm import CausalLM
from llmkit.modeling.heads.masked_lm import MaskedLM
from llmkit.modeling.heads.pretraining import Pretraining
from llmkit.modeling.heads.sequence_to_sequence import SequenceToSequence
from llmkit.modeling.load import check_positions, grow_embeddings, load_model

VOCABULARY = SimpleNamespace(size=40, bos=1, eos=2, pad=0, cls=3, sep=4, mask=5, unk=None)
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
CAUSAL, MASKED, PRETRAINING, SEQ2SEQ = CausalLM(), MaskedLM(), Pretraining(), SequenceToSequence()
T5 = {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 32}


def build(arch, head, config=None, **changes):
    given = {"vocabulary": VOCABULARY, "max_positions": 8, "seed": 0, "head": head} | changes
    return build_model(ModelConfig(arch=arch, config=SMALL if config is None else config), **given)


@pytest.mark.parametrize(
    ("arch", "head", "config", "name"),
    [
        ("bert", MASKED, SMALL, "BertForMaskedLM"),
        ("bert", PRETRAINING, SMALL, "BertForPreTraining"),
        ("roberta", MASKED, SMALL, "RobertaForMaskedLM"),
        ("albert", PRETRAINING, {**SMALL, "embedding_size": 8}, "AlbertForPreTraining"),
        ("modernbert", MASKED, SMALL, "ModernBertForMaskedLM"),
        ("deberta-v2", MASKED, SMALL, "DebertaV2ForMaskedLM"),
        ("t5", SEQ2SEQ, T5, "T5ForConditionalGeneration"),
        ("gpt2", CAUSAL, {"n_embd": 16, "n_layer": 1, "n_head": 2}, "GPT2LMHeadModel"),
        ("mistral", CAUSAL, {**SMALL, "num_key_value_heads": 1}, "MistralForCausalLM"),
        ("mixtral", CAUSAL, {**SMALL, "num_key_value_heads": 1, "num_local_experts": 2}, "MixtralForCausalLM"),
        ("qwen3", CAUSAL, {**SMALL, "num_key_value_heads": 1, "head_dim": 8}, "Qwen3ForCausalLM"),
        ("gemma3_text", CAUSAL, {**SMALL, "num_key_value_heads": 1, "head_dim": 8}, "Gemma3ForCausalLM"),
        ("phi3", CAUSAL, {**SMALL, "num_key_value_heads": 1}, "Phi3ForCausalLM"),
        ("opt", CAUSAL, {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 32,
                         "word_embed_proj_dim": 16}, "OPTForCausalLM"),
    ],
)  # fmt: skip
def test_every_kind_of_model_is_built_saved_and_loaded_as_itself(tmp_path, arch, head, config, name):
    model = build(arch, head, config)
    assert type(model).__name__ == name
    assert model.get_input_embeddings().weight.shape[0] == 40
    assert (model.config.pad_token_id, model.config.eos_token_id) == (0, 2)
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)  # by what config.json says
    assert type(loaded).__name__ == name
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))


def test_sizes_are_those_of_the_recipe():
    albert = build("albert", PRETRAINING, {**SMALL, "embedding_size": 8, "num_hidden_layers": 3})
    assert albert.get_input_embeddings().weight.shape == (40, 8)
    t5 = build("t5", SEQ2SEQ, {**T5, "num_layers": 2, "dropout_rate": 0.3})
    assert (len(t5.encoder.block), len(t5.decoder.block), t5.encoder.dropout.p) == (2, 2, 0.3)
    assert t5.config.decoder_start_token_id == 0
    bert = build("bert", MASKED, {**SMALL, "hidden_dropout_prob": 0.25, "attention_probs_dropout_prob": 0})
    assert bert.bert.embeddings.dropout.p == 0.25
    assert bert.config.max_position_embeddings == 8
    gpt2 = build("gpt2", CAUSAL, {"n_embd": 16, "n_layer": 3, "n_head": 4, "resid_pdrop": 0.5})
    assert (len(gpt2.transformer.h), gpt2.transformer.h[0].mlp.dropout.p) == (3, 0.5)


def test_roberta_has_a_row_for_every_position_after_its_padding_id():
    model = build("roberta", MASKED).train(False)
    assert model.config.max_position_embeddings == 8 + 0 + 1
    assert position_limit(model.config) == 8
    model(input_ids=torch.full((1, 8), 7))  # positions 1 to 8
    with pytest.raises(ConfigError, match="context_length: 9 is over the 8 positions of the model in here"):
        check_positions(model.config, 9, "here")
    assert position_limit(build("t5", SEQ2SEQ, T5).config) is None


@pytest.mark.parametrize(
    ("arch", "head", "message"),
    [
        ("llama", MASKED, "model.arch: architecture 'llama' is not a masked language model"),
        ("t5", CAUSAL, "model.arch: architecture 't5' is not a causal language model"),
        ("bert", SEQ2SEQ, "model.arch: architecture 'bert' is not an encoder-decoder; did you mean 'bart'?"),
        ("qwen3", PRETRAINING, "model.arch: architecture 'qwen3' has no heads for pretraining"),
        ("robert", MASKED, "model.arch: architecture 'robert' is unknown to transformers; did you mean 'roberta'?"),
    ],
)
def test_architecture_without_the_kind_of_model(arch, head, message):
    with pytest.raises(ConfigError) as caught:
        check_model(ModelConfig(arch=arch), head)
    assert caught.value.message.startswith(message)
    assert caught.value.exit_code == 2


def test_a_decoder_that_cannot_start_is_refused():
    without = SimpleNamespace(**{**vars(VOCABULARY), "pad": None})
    with pytest.raises(ConfigError, match="needs a padding token to start its decoder") as caught:
        build("t5", SEQ2SEQ, T5, vocabulary=without)
    assert "t5-unigram" in caught.value.hint


def test_a_model_of_another_kind_is_not_loaded_with_made_up_heads(tmp_path):
    build("bert", MASKED).save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"lacks .* weights of BertForPreTraining") as caught:
        load_model(tmp_path, PRETRAINING)
    assert "BertForMaskedLM" in caught.value.hint


@pytest.mark.parametrize(
    ("arch", "head", "config"),
    [
        ("llama", CAUSAL, {**SMALL, "tie_word_embeddings": True}),
        ("llama", CAUSAL, {**SMALL, "tie_word_embeddings": False}),
        ("bert", MASKED, SMALL),
        ("roberta", MASKED, SMALL),
        ("albert", PRETRAINING, {**SMALL, "embedding_size": 8}),
        ("t5", SEQ2SEQ, T5),
    ],
)
def test_new_rows_are_the_mean_of_the_old_ones(arch, head, config):
    model = build(arch, head, config)
    before = model.get_input_embeddings().weight.detach().clone()
    rows = model.get_output_embeddings().weight.detach().clone()
    if model.get_output_embeddings().bias is not None:
        with torch.no_grad():
            model.get_output_embeddings().bias.copy_(torch.arange(40.0))
    state = torch.get_rng_state()
    assert grow_embeddings(model, 43) == 3
    assert torch.equal(torch.get_rng_state(), state)
    after, output = model.get_input_embeddings().weight, model.get_output_embeddings()
    assert torch.equal(after[:40], before)
    assert torch.allclose(after[40:], before.mean(0).expand(3, -1))
    assert torch.equal(output.weight[:40], rows)
    assert torch.allclose(output.weight[40:], rows.mean(0).expand(3, -1))
    assert (output.weight is after) == bool(model.config.tie_word_embeddings)
    if output.bias is not None:
        assert output.bias[40:].tolist() == [19.5] * 3
    assert model.config.vocab_size == 43
    assert grow_embeddings(model, 41) == 0
    inputs = {"input_ids": torch.tensor([[42, 6]])}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    logits = model(**inputs)[0]
    assert logits.shape[-1] == 43
