from __future__ import annotations

import json

import pytest
from transformers import AutoConfig

from llmkit.core.errors import ConfigError
from llmkit.core.registry import Family
from llmkit.modeling.build import ModelConfig
from llmkit.modeling.pace import Pace, with_layers
from llmkit.training.config import TrainingConfig
from llmkit.training.plan import plan

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 1}


def planned(spec=None, data=(), head="causal_lm", nproc=1, **changes):
    config = TrainingConfig(**{"context_length": 64, "batch_tokens": 1024, "max_steps": 10} | changes)
    return plan(config, spec or ModelConfig(arch="llama", config=SMALL), list(data), Family("head").parse(head), nproc)


@pytest.fixture
def tokens(tmp_path):
    facts = {"vocab_size": 300, "tokenizer_digest": "d", "splits": {"train": {"tokens": 5000}}}
    (tmp_path / "tokens.json").write_text(json.dumps(facts))
    return str(tmp_path)


def test_what_can_be_counted_by_hand(tokens):
    found = planned(data=[tokens, tokens])
    body = 4 * 64 * 64 + 3 * 64 * 128 + 3 * 64
    assert (found.vocab_size, found.embedding, found.body) == (300, 2 * 300 * 64, body)
    assert found.parameters == found.embedding + found.body
    assert (found.steps, found.tokens, found.tokens_per_epoch, found.epochs) == (10, 10240, 10000, 1.024)
    assert found.flops_per_token == 6 * (body - 3 * 64 + 300 * 64) + 12 * 64 * 64
    assert found.flops == found.flops_per_token * 10240
    assert found.tokens_per_parameter == 10240 / found.parameters
    assert found.checkpoint == 12 * found.parameters
    assert found.disk == found.checkpoint + 4 * found.parameters, "its only checkpoint is the last"
    assert found.seconds > 7
    assert found.as_json()["memory"]["total"] == found.memory.total


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"max_steps": None, "max_tokens": 2049}, 3),
        ({"max_steps": None, "max_epochs": 2}, 10),  # 9.77: the last step goes on into the next epoch
        ({"max_steps": 4, "max_epochs": 2}, 4),
    ],
)
def test_the_first_limit_holds(tokens, limits, steps):
    assert planned(data=[tokens], **limits).steps == steps


def test_without_data_epochs_are_unknown_and_the_rest_is_said():
    found = planned(data=["nowhere"], max_steps=None, max_epochs=1)
    assert (found.steps, found.tokens, found.flops, found.seconds, found.epochs) == (None,) * 5
    assert found.vocab_size == 16384
    assert planned(ModelConfig(preset="llama-1m")).vocab_size == 4096
    assert found.memory.weights == 4 * found.parameters


def test_minutes_become_the_steps_that_fit(monkeypatch):
    pace = Pace(one_pass=2.56, update=0.5)
    monkeypatch.setattr("llmkit.training.plan.measure_pace", lambda *_, **__: pace)
    found = planned(max_steps=None, max_minutes=2, compile=False, batch_tokens=512, micro_batch_tokens=256)
    assert (found.steps, found.tokens) == (21, 21 * 512)  # two passes and an update: 5.62 s each
    assert found.seconds == pytest.approx(7 + 2.56 + 21 * 5.62)  # the start, a dry run, the steps
    assert planned(max_steps=7, max_minutes=2, compile=False, batch_tokens=512).steps == 7
    compiled = planned(max_steps=None, max_minutes=2, compile=True, batch_tokens=512, micro_batch_tokens=256)
    assert (compiled.compile, compiled.steps) == (True, 24)  # passes take 6/7 of the time: 4.89 s


def test_the_first_layers_are_timed_and_the_rest_is_proportion(monkeypatch):
    timed = []

    def time_steps(kind, config, build, num_blocks, context_length, bf16):
        timed.append((config.num_hidden_layers, num_blocks))
        return 1.0 + 0.25 * config.num_hidden_layers * num_blocks, 0.1 * config.num_hidden_layers

    monkeypatch.setattr("llmkit.modeling.pace._time_steps", time_steps)
    monkeypatch.setattr("llmkit.training.plan.measure_peak", lambda *_: 1e12)  # a busy machine times fewer blocks
    spec = ModelConfig(arch="llama", config={**SMALL, "num_hidden_layers": 9})
    found = planned(spec, batch_tokens=1024, micro_batch_tokens=256)  # 4 passes of 4 blocks
    assert timed == [(1, 4), (3, 4)]
    one = 1 + 0.25 * 9 * 4
    assert found.seconds == pytest.approx(7 + one + 10 * (4 * one + 0.9))
    timed.clear()
    planned(batch_tokens=1024, micro_batch_tokens=256)
    assert timed == [(1, 4)]


def test_an_architecture_that_cannot_be_run_without_data_has_no_memory(monkeypatch):
    def fail(*_):
        raise RuntimeError("no meta kernel")

    monkeypatch.setattr("llmkit.modeling.cost._live_bytes", fail)
    found = planned()
    assert (found.memory, found.steps) == (None, 10)
    assert found.seconds > 7
    assert found.as_json()["memory"] is None


def test_an_architecture_whose_steps_cannot_be_timed_has_no_time(monkeypatch):
    def fail(*_):
        raise RuntimeError("no such operator")

    monkeypatch.setattr("llmkit.modeling.pace._time_steps", fail)
    found = planned()
    assert (found.seconds, found.steps, found.tokens) == (None, 10, 10240)


@pytest.mark.parametrize(
    ("arch", "sizes"),
    [
        ("llama", {}),
        ("gpt2", {}),
        ("qwen3", {}),
        ("bert", {}),
        ("albert", {}),
        ("bart", {"encoder_layers": 5, "decoder_layers": 5}),
        ("t5", {"num_layers": 5, "num_decoder_layers": 5}),
    ],
)
def test_a_config_with_fewer_layers(arch, sizes):
    config = with_layers(AutoConfig.for_model(arch, **(sizes or {"num_hidden_layers": 5})), 2)
    assert config.num_hidden_layers == 2
    assert getattr(config, "num_decoder_layers", None) in (None, 2)
    assert getattr(config, "decoder_layers", None) in (None, 2)
    assert len(getattr(config, "layer_types", None) or [1, 2]) == 2


def test_a_copy_for_the_checkpoint_counts_where_training_goes_on_meanwhile():
    assert planned(max_steps=500).memory.checkpoint_copy == 0  # the only one is at the end
    copied = planned(max_steps=501).memory
    assert copied.checkpoint_copy == copied.weights + copied.optimizer == 12 * planned().parameters
    assert planned(max_steps=501, checkpoint={"background": False}).memory.checkpoint_copy == 0


def test_other_kinds_of_model_and_several_processes():
    bert = planned(ModelConfig(arch="bert", config=SMALL), head="masked_lm", nproc=4)
    assert (bert.arch, bert.micro_batch_tokens) == ("bert", 256)
    t5 = ModelConfig(arch="t5", config={"d_model": 64, "num_layers": 1, "num_heads": 1, "d_ff": 64})
    encoder_decoder = planned(t5, head="sequence_to_sequence")
    assert encoder_decoder.arch == "t5"
    assert bert.seconds > 7
    assert encoder_decoder.seconds > 7
    with pytest.raises(ConfigError, match="'llama' is not a masked language model"):
        planned(head="masked_lm")
