from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError

from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.build import ModelConfig, build_model, check_model
from llmkit.modeling.heads.causal_lm import CausalLM
from llmkit.modeling.load import check_vocabulary, count_parameters, load_model

LLAMA = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TOKENIZER = {"vocab_size": 40, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}


def build(arch="llama", config=None, **changes):
    spec = ModelConfig(arch=arch, config=LLAMA if config is None else config)
    return build_model(spec, **({"head": CausalLM(), **TOKENIZER, "max_positions": 8, "seed": 0} | changes))


def test_llama_has_the_parameters_one_can_count():
    model = build()
    attention, mlp, norms = 4 * 16 * 16, 3 * 16 * 32, 2 * 16
    assert count_parameters(model) == 2 * 40 * 16 + attention + mlp + norms + 16
    assert count_parameters(build(config={**LLAMA, "tie_word_embeddings": True})) == count_parameters(model) - 40 * 16
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not model.training
    assert (model.config.vocab_size, model.config.bos_token_id, model.config.eos_token_id) == (40, 1, 2)
    assert model.config.max_position_embeddings == 8


def test_weights_depend_on_the_seed_only_and_the_global_state_stays():
    state = torch.get_rng_state()
    first = build().state_dict()
    torch.rand(3)
    again, other = build().state_dict(), build(seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])
    torch.set_rng_state(state)
    build()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("arch", "more"), [("gpt2", {}), ("gpt_neox", {}), ("qwen3", {"num_key_value_heads": 1})])
def test_other_architectures(arch, more):
    model = build(arch, {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2} | more)
    assert model.config.model_type == arch
    assert model.config.hidden_size == 16
    assert model.config.max_position_embeddings == 8


def test_padding_id_that_is_also_eos_does_not_freeze_the_embedding_of_eos():
    model = build(pad_token_id=2)
    assert model.config.pad_token_id is None
    model(input_ids=torch.tensor([[2, 3]])).logits.sum().backward()
    weight = model.get_input_embeddings().weight
    assert weight[2].abs().sum() > 0
    assert weight.grad[2].abs().sum() > 0
    assert build(pad_token_id=0).config.pad_token_id == 0


def test_the_spec_is_not_written_to():
    spec = ModelConfig(arch="llama", config={**LLAMA, "rope_parameters": {"rope_theta": 1e6}})
    assert check_model(spec, CausalLM()).rope_parameters["rope_type"] == "default"
    assert spec.config["rope_parameters"] == {"rope_theta": 1e6}


def test_accepted_spellings():
    def config(arch="llama", **settings):
        return check_model(ModelConfig(arch=arch, config=settings), CausalLM())

    assert config(rope_theta=1e6).rope_parameters["rope_theta"] == 1e6
    assert config(rope_scaling={"rope_type": "linear", "factor": 2.0}).rope_parameters["factor"] == 2.0
    assert config(rms_norm_eps=1).rms_norm_eps == 1.0
    assert config("gpt2", hidden_size=24).n_embd == 24
    # A kind of rotary embedding per kind of layer, as Gemma 3 has it.
    layers = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}
    assert config("gemma3_text", rope_parameters=layers).rope_parameters["full_attention"]["rope_theta"] == 1e6


@pytest.mark.parametrize(
    ("arch", "config", "message"),
    [
        ("lama", {}, "model.arch: architecture 'lama' is unknown to transformers; did you mean 'llama'?"),
        ("t5", {}, "model.arch: architecture 't5' is not a causal language model"),
        ("gemma3", {}, "model.arch: 'gemma3' is not a text-only architecture"),
        ("llama", {"hiden_size": 3}, "model.config.hiden_size: not a setting of llama; did you mean 'hidden_size'?"),
        ("gpt2", {"n_heads": 3}, "model.config.n_heads: not a setting of gpt2; did you mean 'n_head'?"),
        ("gpt2", {"rope_theta": 1e4}, "model.config.rope_theta: not a setting of gpt2"),
        ("llama", {"dtype": "bfloat16"}, "model.config.dtype: not a setting of llama"),
        ("llama", {"hidden_size": "256"}, "model.config.hidden_size: expected int, got str (value: '256')"),
        ("gpt2", {"hidden_size": "256"}, "model.config.hidden_size: expected int, got str (value: '256')"),
        ("gpt2", {"hidden_size": 16, "n_embd": 8}, "model.config.n_embd: the same field is given under two names"),
        ("llama", {"hidden_size": True}, "model.config.hidden_size: expected int, got bool"),
        ("llama", {"num_hidden_layers": 0}, "model.config.num_hidden_layers: expected at least 1, got 0"),
        ("gpt2", {"n_layer": -1}, "model.config.n_layer: expected at least 1, got -1"),
        ("llama", {"hidden_act": "sulu"}, "model.config.hidden_act: unknown activation 'sulu'; did you mean 'silu'?"),
        ("llama", {"rope_theta": "1e6"}, "model.config.rope_theta: expected a positive number, got '1e6'"),
        ("llama", {"rope_theta": 0}, "model.config.rope_theta: expected a positive number, got 0"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "yran"}},
            "model.config.rope_parameters.rope_type: unknown type 'yran'; did you mean 'yarn'?",
        ),
        ("llama", {"rope_parameters": {"thetta": 1}}, "model.config.rope_parameters.thetta: no such setting"),
        ("llama", {"rope_scaling": {"factor": "2"}}, "model.config.rope_scaling.factor: expected a number, got '2'"),
        ("llama", {"rope_scaling": {"rope_type": "yarn"}}, 'model.config: "Missing required keys'),
        (
            "llama",
            {"rope_scaling": {"rope_type": "default"}, "rope_parameters": {"rope_type": "default"}},
            "model.config.rope_scaling: the same field is also given as 'rope_parameters'",
        ),
        (
            "llama",
            {"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}},
            "model.config.rope_parameters.rope_theta: the same field is also given as 'model.config.rope_theta'",
        ),
        (
            "llama",
            {"hidden_size": 10, "num_attention_heads": 4},
            "model.config: The hidden size (10) is not a multiple",
        ),
        (
            "gpt2",
            {"n_embd": 10, "n_head": 4},
            "model.config: hidden size 10 is not a multiple of the 4 attention heads",
        ),
        (
            "llama",
            {"num_attention_heads": 4, "num_key_value_heads": 3},
            "model.config.num_key_value_heads: 4 attention heads are not a multiple of 3 key-value heads",
        ),
    ],
)
def test_settings_that_cannot_be_are_named(arch, config, message):
    with pytest.raises(ConfigError) as caught:
        check_model(ModelConfig(arch=arch, config=config), CausalLM())
    assert caught.value.message.startswith(message)
    assert caught.value.exit_code == 2


def test_text_model_of_a_multimodal_one_is_suggested():
    with pytest.raises(ConfigError) as caught:
        check_model(ModelConfig(arch="gemma3"), CausalLM())
    assert "gemma3_text" in caught.value.hint


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"vocab_size": 39}, "model.config.vocab_size: 39 is too small: the tokenizer has 40 ids"),
        (
            {"max_position_embeddings": 7},
            "model.config.max_position_embeddings: 7 is too small: the context is 8 tokens",
        ),
        ({"eos_token_id": 5}, "model.config.eos_token_id: 5 is not the tokenizer's 2"),
        # An odd head that the checks let pass and only the rotation stumbles over.
        ({"head_dim": 3}, "model.config: no working llama model: The size of tensor"),
    ],
)
def test_settings_that_contradict_the_run(setting, message):
    with pytest.raises(ConfigError) as caught:
        build(config=LLAMA | setting)
    assert caught.value.message.startswith(message)


def test_more_rows_and_positions_than_needed_are_allowed():
    model = build(config={**LLAMA, "vocab_size": 64, "max_position_embeddings": 100})
    assert model.get_input_embeddings().weight.shape[0] == 64
    assert model.config.max_position_embeddings == 100
    assert build("bloom", {"hidden_size": 16, "n_layer": 1, "n_head": 2}).config.vocab_size == 40  # has no limit


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "neither is given"),
        ({"arch": "llama", "path": "x"}, "both are given"),
        ({"path": "x", "config": {"hidden_size": 3}}, "'config' belongs to 'arch'"),
        ({"arch": "llama", "confg": {}}, "confg"),
    ],
)
def test_model_config_wants_one_origin(fields, message):
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**fields)


def test_saved_model_loads_as_it_was(tmp_path):
    model = build()
    model.save_pretrained(tmp_path / "small")
    loaded = load_model(tmp_path / "small")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    assert loaded.config._attn_implementation == "sdpa"
    assert not loaded.training
    assert {p.dtype for p in load_model(tmp_path / "small", dtype="bfloat16").parameters()} == {torch.bfloat16}
    assert check_model(ModelConfig(path=str(tmp_path / "small")), CausalLM()).hidden_size == 16


def test_bf16_weights_on_disk_load_as_float32(tmp_path):
    build().bfloat16().save_pretrained(tmp_path)
    assert {p.dtype for p in load_model(tmp_path).parameters()} == {torch.float32}


def test_missing_directory_names_the_nearest(tmp_path):
    (tmp_path / "small").mkdir()
    with pytest.raises(DataError, match=r"smal' does not exist; did you mean 'small'\?") as caught:
        load_model(tmp_path / "smal")
    assert caught.value.exit_code == 3


def test_directory_of_models_names_them(tmp_path):
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1" / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"holds no config\.json") as caught:
        load_model(tmp_path)
    assert str(tmp_path / "seed-1") in caught.value.hint


def test_damaged_models_are_data_errors(tmp_path):
    build().save_pretrained(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:100])
    with pytest.raises(DataError, match=r"model\.safetensors cannot be read"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"holds no model\.safetensors"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(DataError, match="'t5' is not a causal language model"):
        load_model(tmp_path, CausalLM())


def test_weights_that_are_not_there_are_not_made_up(tmp_path):
    model = build()
    state = {name: value for name, value in model.state_dict().items() if "down_proj" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(DataError, match=r"lacks 1 weights of LlamaForCausalLM: model.layers.0.mlp.down_proj.weight"):
        load_model(tmp_path)


def test_vocabulary_must_fit(tmp_path):
    build().save_pretrained(tmp_path)
    model = load_model(tmp_path)
    for subject in (model, model.config):
        check_vocabulary(subject, 40, "tok")
        with pytest.raises(DataError) as caught:
            check_vocabulary(subject, 41, "data/tok")
        assert caught.value.message == (
            f"the tokenizer in 'data/tok' has 41 ids, but the model in '{tmp_path}' has only 40 embedding rows"
        )
    with pytest.raises(DataError, match="but the model has only 40"):
        check_vocabulary(build(), 41, "data/tok")
