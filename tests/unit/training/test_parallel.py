from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from llmkit.core.errors import ConfigError, SetupError
from llmkit.training.config import TrainingConfig
from llmkit.training.parallel import (
    ParallelConfig,
    Plan,
    build_accelerator,
    check_parallel,
    checkpoint_activations,
    layer_classes,
    plan_parallel,
)
from llmkit.training.shard import check_sharding
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
    ({"cpu_offload": True}, 2, "parallel.cpu_offload moves sharded weights, and parallel.shard is 1", "parallel.shard"),
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


def test_splits_that_would_not_be_one_are_refused_and_shards_are_not():
    check_parallel(Plan(2, 4, 1, 1))
    with pytest.raises(SetupError, match=r"parallel.tensor 2: the model is loaded whole on every process") as caught:
        check_parallel(Plan(1, 1, 2, 1))
    assert (caught.value.hint, caught.value.exit_code) == ("use parallel.shard=2 instead", 4)
    with pytest.raises(SetupError, match=r"parallel.context 2: ring attention knows no document borders"):
        check_parallel(Plan(1, 1, 1, 2))


def training(**config):
    return TrainingConfig.model_validate({"max_steps": 1, **config})


def test_optimizers_of_whole_matrices_and_compiling_are_refused_with_shards():
    for name in ("adamw", "adam", "sgd"):
        check_sharding(training(optimizer=name, parallel={"shard": 2}))
    check_sharding(training(optimizer="muon", compile=True))
    for name in ("muon", "adafactor"):
        with pytest.raises(ConfigError, match=f"optimizer: {name} needs whole matrices, and parallel.shard is 2"):
            check_sharding(training(optimizer=name, parallel={"shard": 2}))
    with pytest.raises(ConfigError, match=r"compile: sharded models are not compiled") as caught:
        check_sharding(training(compile=True, parallel={"shard": 2}))
    assert caught.value.exit_code == 2


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
