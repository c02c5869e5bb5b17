from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from llmkit.core.errors import ConfigError
from llmkit.training.config import TrainingConfig
from llmkit.training.parallel import (
    ParallelConfig,
    Plan,
    build_accelerator,
    checkpoint_activations,
    layer_classes,
    plan_parallel,
)
from llmkit.training.sequence import check_sequence
from llmkit.training.shard import check_sharding
from llmkit.training.tensor import check_tensor
from tiny import VOCABULARY, model


@pytest.mark.parametrize(("config", "world", "expected"), [
    ({}, 1, Plan(1, 1, 1, 1)),
    ({}, 6, Plan(6, 1, 1, 1)),
    ({"shard": 8}, 8, Plan(1, 8, 1, 1)),
    ({"shard": 4}, 8, Plan(2, 4, 1, 1)),
    ({"data": 2, "shard": 2, "tensor": 2}, 8, Plan(2, 2, 2, 1)),
    ({"tensor": 4}, 4, Plan(1, 1, 4, 1)),
    ({"shard": 2, "context": 4}, 8, Plan(1, 2, 1, 4)),
])  # fmt: skip
def test_auto_takes_what_the_rest_leaves(config, world, expected):
    plan = plan_parallel(ParallelConfig(**config), world)
    assert plan == expected
    assert plan.readers == expected.data * expected.shard


@pytest.mark.parametrize(("config", "world", "message", "hint"), [
    ({"shard": 4}, 6, "shard 4 x tensor 1 x context 1 = 4 processes for one model, but there are 6", "--nproc 4"),
    ({"shard": 2, "tensor": 4}, 1, "= 8 processes for one model, but there are 1", "--nproc 8"),
    ({"data": 2}, 1, "x data 2 = 2 processes, but there are 1", "--nproc 2, or parallel.data=auto"),
    ({"tensor": 2}, 4, "parallel: data 2 x tensor 2: copies of a split model are not built", "-s parallel.shard=2"),
    ({"cpu_offload": True, "shard": 2, "tensor": 2}, 4, "cpu_offload does not go with parallel.tensor 2", "leave one"),
    ({"cpu_offload": True}, 2, "parallel.cpu_offload moves sharded weights, and none are sharded", "parallel.shard"),
])  # fmt: skip
def test_sizes_that_do_not_fit_the_processes(config, world, message, hint):
    with pytest.raises(ConfigError) as caught:
        plan_parallel(ParallelConfig(**config), world)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_sizes_are_at_least_one():
    for name in ("data", "shard", "tensor", "context"):
        with pytest.raises(ValidationError):
            ParallelConfig(**{name: 0})


def test_the_layers_are_the_units_of_sharding():
    assert layer_classes(model()) == ["LlamaDecoderLayer"]
    assert layer_classes(model("gpt2")) == ["GPT2Block"]


def test_who_reads_what_and_what_is_counted_once():
    plan = Plan(1, 2, 2, 2)  # tensor innermost, then context
    assert plan.readers == 2
    assert plan.averaged == 4
    assert [plan.reader(rank) for rank in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [rank for rank in range(8) if plan.tells(rank)] == [0, 4]
    assert [rank for rank in range(8) if plan.adds(rank)] == [0, 2, 4, 6]
    copies = Plan(4, 1, 1, 1)
    assert (copies.readers, copies.averaged) == (4, 4)
    assert not ParallelConfig(data=4).splits
    assert all(ParallelConfig(**{way: 2}).splits for way in ("shard", "tensor", "context"))
    assert all(copies.reader(rank) == rank and copies.tells(rank) and copies.adds(rank) for rank in range(4))


def training(**config):
    return TrainingConfig.model_validate({"max_steps": 1, **config})


def test_optimizers_of_whole_matrices_and_compiling_are_refused_with_shards():
    for name in ("adamw", "adam", "sgd"):
        check_sharding(training(optimizer=name, parallel={"shard": 2}))
    check_sharding(training(optimizer="muon", compile=True))
    for name in ("muon", "adafactor"):
        with pytest.raises(ConfigError, match=f"optimizer: {name} needs whole matrices, and parallel.shard is 2"):
            check_sharding(training(optimizer=name, parallel={"shard": 2}))
    with pytest.raises(ConfigError, match=r"compile: models in parts are not compiled") as caught:
        check_sharding(training(compile=True, parallel={"shard": 2}))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("arch", "settings", "message"), [
    ("gpt2", {}, "parallel.tensor 2: gpt2 cannot be split"),
    ("phi3", {}, "parallel.tensor 2: phi3 cannot be split"),
    ("phi", {"qk_layernorm": True, "num_key_value_heads": 2}, "phi with qk_layernorm cannot be split"),
    ("llama", {"num_key_value_heads": 1}, "parallel.tensor 2: 1 key-value heads cannot be shared by 2 processes"),
    ("llama", {"num_key_value_heads": 2, "intermediate_size": 33}, "33 hidden units of the feed-forward layers cannot"),
])  # fmt: skip
def test_matrices_that_cannot_be_split(arch, settings, message):
    with pytest.raises(ConfigError) as caught:
        check_tensor(model(arch, **settings), 2)
    assert message in caught.value.message
    assert caught.value.hint.startswith("use parallel.shard=2 instead")


@pytest.mark.parametrize(("arch", "settings", "length", "message"), [
    ("bloom", {}, 16, "parallel.context 2: bloom cannot share positions"),
    ("mistral", {"sliding_window": 8}, 16, "mistral has windows, rotations by length, or no SDPA"),
    ("qwen3", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}, 16, "qwen3 has windows"),
    ("llama", {"attn_implementation": "eager"}, 16, "llama has windows, rotations by length, or no SDPA"),
    ("llama", {"num_key_value_heads": 1}, 16, "parallel.context 2: 1 key-value heads cannot be shared by 2 processes"),
    ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, 16, "llama has windows"),
    ("llama", {"num_key_value_heads": 2}, 15, "parallel.context 2: context_length 15 is no multiple of 2"),
])  # fmt: skip
def test_blocks_that_cannot_be_shared(arch, settings, length, message):
    with pytest.raises(ConfigError) as caught:
        check_sequence(model(arch, **settings), 2, length)
    assert message in caught.value.message


def test_heads_are_shared_by_positions_and_matrices_together():
    four = model(num_attention_heads=4, num_key_value_heads=4, hidden_size=32)
    check_sequence(four, 2, 16, tensor=2)
    with pytest.raises(ConfigError, match=r"parallel.context 2: 2 key-value heads cannot be shared by 4 processes"):
        check_sequence(model(num_attention_heads=4, num_key_value_heads=2, hidden_size=32), 2, 16, tensor=2)


def test_the_config_is_known_without_torch():
    code = "import sys, llmkit.training.config; sys.exit('torch' in sys.modules or 'accelerate' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def losses_and_gradients(net):
    """Train one step; return the loss, the gradients, and how often the first layer was computed."""
    layers = net.model.layers if hasattr(net, "model") else net.transformer.h
    calls = []
    layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    torch.manual_seed(5)
    ids = torch.arange(32).reshape(2, 16) % VOCABULARY
    loss = net.train()(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in net.named_parameters()}, len(calls)


@pytest.mark.parametrize("arch", ["llama", "gpt2"])  # GPT-2 has dropout: the second forward must draw the same
def test_activation_checkpointing_changes_nothing_but_memory(arch):
    kept, again = model(arch), model(arch)
    checkpoint_activations(again)
    loss, gradients, calls = losses_and_gradients(kept)
    other_loss, other_gradients, other_calls = losses_and_gradients(again)
    assert (calls, other_calls) == (1, 2)
    assert torch.equal(loss, other_loss)
    assert all(torch.equal(gradient, other_gradients[name]) for name, gradient in gradients.items())
    assert any(gradient.abs().sum() > 0 for gradient in gradients.values())


def test_an_architecture_without_activation_checkpointing_is_refused(monkeypatch):
    net = model()
    monkeypatch.setattr(type(net), "supports_gradient_checkpointing", False)
    with pytest.raises(ConfigError, match=r"parallel.activation_checkpointing: llama does not support it"):
        checkpoint_activations(net)


def test_one_process_gets_a_plain_accelerator():
    net = model()
    accelerator = build_accelerator(ParallelConfig(activation_checkpointing=True), net)
    assert accelerator.num_processes == 1
    assert accelerator.mixed_precision == "no"
    assert losses_and_gradients(net)[2] == 2
    with pytest.raises(ConfigError, match="= 2 processes for one model, but there are 1"):
        build_accelerator(ParallelConfig(shard=2), net)
