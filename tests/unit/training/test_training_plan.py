from __future__ import annotations

import json

import pytest

from llmkit.core.errors import ConfigError
from llmkit.modeling.build import ModelConfig
from llmkit.training.config import TrainingConfig
from llmkit.training.plan import plan

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 1}


def planned(spec=None, data=(), auto_class="AutoModelForCausalLM", nproc=1, **changes):
    config = TrainingConfig(**{"context_length": 64, "batch_tokens": 1024, "max_steps": 10} | changes)
    return plan(config, spec or ModelConfig(arch="llama", config=SMALL), list(data), auto_class, nproc)


@pytest.fixture
def tokens(tmp_path):
    facts = {"vocab_size": 300, "splits": {"train": {"tokens": 5000}}}
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
    assert found.disk == 2 * found.checkpoint + 4 * found.parameters
    assert found.seconds > 8
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
    monkeypatch.setattr("llmkit.training.plan.pass_seconds", lambda *_, tokens, **__: tokens / 100)
    found = planned(max_steps=None, max_minutes=2, compile=False, batch_tokens=512, micro_batch_tokens=256)
    assert (found.steps, found.tokens) == (23, 23 * 512)  # 5.12 s each
    assert found.seconds == pytest.approx(8 + 2.56 + 23 * 5.12)  # the start, a dry run, the steps
    assert planned(max_steps=7, max_minutes=2, compile=False, batch_tokens=512).steps == 7
    compiled = planned(max_steps=None, max_minutes=2, compile=True, batch_tokens=512, micro_batch_tokens=256)
    assert (compiled.compile, compiled.steps) == (True, 27)  # at 6/7 of the time


def test_an_architecture_that_cannot_be_run_without_data_has_neither_memory_nor_time(monkeypatch):
    def fail(*_):
        raise RuntimeError("no meta kernel")

    monkeypatch.setattr("llmkit.modeling.cost._live_bytes", fail)
    found = planned()
    assert (found.memory, found.seconds, found.steps) == (None, None, 10)
    assert found.as_json()["memory"] is None


def test_a_copy_for_the_checkpoint_counts_where_training_goes_on_meanwhile():
    assert planned(max_steps=500).memory.checkpoint_copy == 0  # the only one is at the end
    copied = planned(max_steps=501).memory
    assert copied.checkpoint_copy == copied.weights + copied.optimizer == 12 * planned().parameters
    assert planned(max_steps=501, checkpoint={"background": False}).memory.checkpoint_copy == 0


def test_other_kinds_of_model_and_several_processes():
    bert = planned(ModelConfig(arch="bert", config=SMALL), auto_class="AutoModelForMaskedLM", nproc=4)
    assert (bert.arch, bert.micro_batch_tokens) == ("bert", 256)
    t5 = ModelConfig(arch="t5", config={"d_model": 64, "num_layers": 1, "num_heads": 1, "d_ff": 64})
    assert planned(t5, auto_class="AutoModelForSeq2SeqLM").arch == "t5"
    with pytest.raises(ConfigError, match="'llama' is not a masked language model"):
        planned(auto_class="AutoModelForMaskedLM")
