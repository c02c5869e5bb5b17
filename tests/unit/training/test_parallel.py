from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from pydantic import ValidationError
from torch.distributed.fsdp import CPUOffloadPolicy
from torch.testing._internal.distributed.fake_pg import FakeStore

from llmkit.core.errors import ConfigError, SetupError
from llmkit.training.parallel import (
    ParallelConfig,
    Plan,
    build_accelerator,
    check_parallel,
    checkpoint_activations,
    fsdp_plugin,
    plan_parallel,
)
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
    ({"tensor": 2}, 4, "whole copies (data) of a model split by tensor", "parallel.shard=2"),
    ({"context": 2, "tensor": 2}, 4, "beside tensor it needs shard", "parallel.shard=2"),
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


@pytest.fixture
def eight_processes():
    """A process group of eight of which only this one is there: enough to build a mesh."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
    yield
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:Slicing a flattened dim from root mesh")  # it is how accelerate reads its own mesh
@pytest.mark.parametrize(("plan", "names", "shape", "sharded"), [
    (Plan(1, 8, 1, 1), ("dp_shard",), (8,), 8),
    (Plan(2, 4, 1, 1), ("dp_replicate", "dp_shard"), (2, 4), 4),
    (Plan(1, 4, 2, 1), ("dp_shard", "tp"), (4, 2), 4),
    (Plan(2, 2, 2, 1), ("dp_replicate", "dp_shard", "tp"), (2, 2, 2), 2),
    (Plan(1, 2, 1, 4), ("dp_shard", "cp"), (2, 4), 8),
])  # fmt: skip
def test_accelerate_builds_the_mesh(eight_processes, plan, names, shape, sharded):
    parallelism = plan.parallelism()
    assert parallelism.total_size == 8
    assert parallelism.data_parallel_size == plan.readers
    mesh = parallelism.build_device_mesh("cpu")
    assert mesh.mesh_dim_names == names
    assert tuple(mesh.mesh.shape) == shape
    assert mesh["dp_shard_cp"].size() == sharded, "what FSDP splits the weights over"


def test_the_sharding_plugin_wraps_every_layer(monkeypatch):
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "False")  # accelerate leaves it in the environment
    net = model()
    plugin = fsdp_plugin(net, cpu_offload=True)
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.state_dict_type.name == "SHARDED_STATE_DICT"
    assert isinstance(plugin.cpu_offload, CPUOffloadPolicy)
    assert not isinstance(fsdp_plugin(net, cpu_offload=False).cpu_offload, CPUOffloadPolicy)
    plugin.set_auto_wrap_policy(torch.nn.ModuleDict({"model": net}))
    wrapped = [
        name for name, module in net.named_modules()
        if plugin.auto_wrap_policy(module=module, recurse=False, nonwrapped_numel=1)
    ]  # fmt: skip
    assert wrapped == ["model.layers.0", "model.layers.1"]


def test_a_plan_without_gpus_is_refused_and_copies_are_not(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    net = model(num_key_value_heads=2)
    check_parallel(Plan(2, 1, 1, 1), net, context_length=16)
    for plan in (Plan(1, 2, 1, 1), Plan(1, 1, 2, 1), Plan(1, 1, 1, 2)):
        with pytest.raises(SetupError, match="needs GPUs: accelerate leaves models whole on CPU") as caught:
            check_parallel(plan, net, context_length=16)
        assert caught.value.exit_code == 4


def test_what_an_architecture_cannot_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    check_parallel(Plan(2, 4, 1, 1), model(), context_length=16)
    with pytest.raises(ConfigError, match="tensor 2 does not divide the 1 key-value heads of llama"):
        check_parallel(Plan(1, 1, 2, 1), model(), context_length=16)
    with pytest.raises(ConfigError, match="transformers has no tensor-parallel plan for bloom") as caught:
        check_parallel(Plan(1, 1, 2, 1), model("bloom", intermediate_size=None), context_length=16)
    assert caught.value.hint == "use parallel.shard=2 instead"
    with pytest.raises(ConfigError, match="context 4: context_length 20 is not a multiple of 8"):
        check_parallel(Plan(1, 1, 1, 4), model(), context_length=20)


def test_a_split_that_would_not_be_one_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(SetupError, match="tensor 2: the model is whole on every process") as caught:
        check_parallel(Plan(1, 1, 2, 1), model(num_key_value_heads=2), context_length=16)
    assert caught.value.hint == "use parallel.shard=2 instead"
    with pytest.raises(SetupError, match="context 2: ring attention knows no document borders"):
        check_parallel(Plan(1, 1, 1, 2), model(), context_length=16)


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
    accelerator = build_accelerator(ParallelConfig(activation_checkpointing=True), net, context_length=16)
    assert accelerator.num_processes == 1
    assert accelerator.mixed_precision == "no"
    assert accelerator.parallelism_config is None
    assert losses_and_gradients(net)[2] == 2
    with pytest.raises(ConfigError, match="= 2 processes for one model, but there are 1"):
        build_accelerator(ParallelConfig(shard=2), net, context_length=16)
