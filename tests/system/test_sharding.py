"""`parallel: {shard, tensor, context}` for real, over CPU processes: the numbers, checkpoints, model of one process."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_processes import LLMKIT, OFTEN, losses, pretraining, rows, run, stop

from llmkit.core.manifest import read_manifest
from llmkit.training import sequence, tensor
from llmkit.training.metrics import TIMINGS

TWO = ["--nproc", 2, "-s", "parallel.shard=2"]


def untimed(out: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMINGS} for row in rows(out)]


def saved(out: Path, step: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights and the optimizer state of a checkpoint."""
    folder = next(out.glob(f"checkpoints/step-*{step}"))
    return load_file(folder / "model.safetensors"), torch.load(folder / "optimizer.pt", weights_only=True)


def assert_same_state(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Hold two optimizer states against each other: same sizes and keys; tensors whole and of nearly equal numbers."""
    sizes = [[len(group["params"]) for group in state["param_groups"]] for state in (left, right)]
    assert sizes[0] == sizes[1]
    assert left["state"].keys() == right["state"].keys()
    for index, moments in left["state"].items():
        assert moments.keys() == right["state"][index].keys()
        for key, moment in moments.items():
            assert type(right["state"][index][key]) is torch.Tensor
            torch.testing.assert_close(right["state"][index][key], moment, rtol=1e-3, atol=1e-7)


MICRO = ["-s", "micro_batch_tokens=128", "-s", "validate.every=6"]


def split_by(way: str) -> list[Any]:
    return ["--nproc", 2, "-s", f"parallel.{way}=2"]


@pytest.mark.parametrize("way", [
    "shard", pytest.param("tensor", marks=pytest.mark.slow), pytest.param("context", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_split_model_trains_as_one_process(chain, tmp_path, way):
    micro, split = MICRO, split_by(way)
    one, two = tmp_path / "one", tmp_path / "two"
    code, _, err = run(*LLMKIT, *pretraining(chain, one, 12, *micro))
    assert code == 0, err
    code, _, err = run(*LLMKIT, *pretraining(chain, two, 12, *micro, *split))
    assert code == 0, err
    assert "no sample texts are written" in err
    assert not (two / "samples.jsonl").exists()
    left, right = rows(one), rows(two)
    assert [row["step"] for row in left] == [row["step"] for row in right]
    assert sum("validation_loss" in row for row in right) == 3
    for before, after in zip(left, right, strict=True):
        assert before.keys() == after.keys()
        for name in before.keys() - set(TIMINGS):
            assert after[name] == pytest.approx(before[name], rel=1e-5), name

    (weights, moments), (shared, shared_moments) = saved(one, 12), saved(two, 12)
    assert [*weights] == [*shared]
    torch.testing.assert_close(shared, weights, rtol=1e-4, atol=2e-6)
    assert_same_state(moments, shared_moments)
    model = load_file(two / "model.safetensors")
    assert model.keys() == shared.keys(), "the finished model is plain and whole"
    assert all(torch.equal(tensor, shared[name]) for name, tensor in model.items())


@pytest.mark.slow
@pytest.mark.parametrize("way", ["shard", "tensor", "context"])
def test_one_process_goes_on_from_a_split_models_checkpoint_and_the_other_way_round(chain, tmp_path, way):
    micro, split = MICRO, split_by(way)
    one, two = tmp_path / "one", tmp_path / "two"
    for out, more in ((one, []), (two, split)):
        code, _, err = run(*LLMKIT, *pretraining(chain, out, 12, *micro, *more))
        assert code == 0, err
    for out in (one, two):  # both extended by one process, the second from a sharded checkpoint
        code, _, err = run(*LLMKIT, *pretraining(chain, out, 20, *micro))
        assert code == 0, err
        assert "resumed at step 12 of 20" in err
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    code, _, err = run(*LLMKIT, *pretraining(chain, one, 24, *micro, *split))  # and one's checkpoint by two shards
    assert code == 0, err
    code, _, err = run(*LLMKIT, *pretraining(chain, two, 24, *micro))
    assert code == 0, err
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert max(losses(two)) == 24


@pytest.mark.slow  # that two processes are stopped and go on is seen in test_processes.py, too
@pytest.mark.parametrize("way", ["shard", "tensor", "context"])
def test_a_split_model_is_stopped_and_goes_on_exactly_with_activation_checkpointing(chain, tmp_path, way):
    straight, out = tmp_path / "straight", tmp_path / "out"
    more = [*OFTEN, "--nproc", 2, "-s", f"parallel.{way}=2", "-s", "parallel.activation_checkpointing=true"]
    code, _, err = run(*LLMKIT, *pretraining(chain, straight, 120, *more))
    assert code == 0, err
    command = pretraining(chain, out, 120, *more)
    code, err = stop(command, out, 20, signal.SIGTERM)
    reached = max(losses(out))
    assert code == 75, err
    assert f"interrupted by SIGTERM after step {reached:,}; the state is saved" in err
    assert 20 <= reached < 120
    code, _, err = run(*LLMKIT, *command)
    assert code == 0, err
    assert f"resumed at step {reached}" in err
    assert untimed(out) == untimed(straight)
    assert read_manifest(out).id == read_manifest(straight).id


@pytest.mark.slow
@pytest.mark.parametrize("way", ["data", "shard", "context"])
def test_a_mixture_of_experts_is_balanced_alike(chain, tmp_path, way):
    one, two = tmp_path / "one", tmp_path / "two"
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "num_local_experts": 4, "router_aux_loss_coef": 0.3}
    more = ["-s", "model.arch=mixtral", "-s", f"model.config={json.dumps(sizes)}", "-s", "micro_batch_tokens=128"]
    for out, split in ((one, []), (two, ["--nproc", 2, "-s", f"parallel.{way}=2"])):
        code, _, err = run(*LLMKIT, *pretraining(chain, out, 4, *more, *split))
        assert code == 0, err
        assert "the model has routers: 0.3 x loss_router is a part of the loss" in err
    for before, after in zip(rows(one), rows(two), strict=True):
        for name in before.keys() - set(TIMINGS):
            assert after[name] == pytest.approx(before[name], rel=1e-5), name
    assert "loss_router" in rows(two)[1]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_two_copies_of_two_shards_train_as_one_process(chain, tmp_path, optimizer):
    four_train_as_one(chain, tmp_path, {"shard": 2}, "-s", f"optimizer.type={optimizer}")


def four_train_as_one(chain, tmp_path, parallel, *more):
    one, four = tmp_path / "one", tmp_path / "four"
    code, _, err = run(*LLMKIT, *pretraining(chain, one, 6, *more))
    assert code == 0, err
    code, _, err = run(
        *LLMKIT, *pretraining(chain, four, 6, *more, "--nproc", 4, "-s", f"parallel={json.dumps(parallel)}")
    )
    assert code == 0, err
    assert losses(four) == pytest.approx(losses(one), rel=1e-5)
    assert_same_state(saved(one, 6)[1], saved(four, 6)[1])


def split_alone(tmp_path, monkeypatch, architectures):
    monkeypatch.chdir(tmp_path)
    script = Path(__file__).with_name("split_training.py")
    code, _, err = run("-m", "torch.distributed.run", "--nproc_per_node", "2", script, *architectures)
    assert code == 0, err
    return json.loads(Path("found.json").read_text())


def test_each_process_has_its_part_alone_and_together_they_are_the_whole(tmp_path, monkeypatch):
    found = split_alone(tmp_path, monkeypatch, ["llama"])["llama"]
    layer = {name.partition("layers.0.")[2]: shape for name, shape in found["tensor"]["shapes"].items()}
    layer.pop("")
    assert layer == {
        "self_attn.q_proj.weight": [16, 32], "self_attn.k_proj.weight": [8, 32], "self_attn.v_proj.weight": [8, 32],
        "self_attn.o_proj.weight": [32, 16],
        "mlp.gate_proj.weight": [32, 32], "mlp.up_proj.weight": [32, 32], "mlp.down_proj.weight": [32, 32],
    }  # fmt: skip
    assert found["context"]["stretch"] == [2, 8], "half of each block"
    assert found["context"]["attended"] == [2, 2, 16, 8], "two of four heads, over whole blocks"
    for way in found.values():
        assert len(way["errors"]) > 10
        assert max(way["errors"].values()) < 1e-5


@pytest.mark.parametrize("one_in", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_every_architecture_that_is_split_is_the_whole_one_together(tmp_path, monkeypatch, one_in):
    architectures = sorted(tensor.ARCHITECTURES | sequence.ARCHITECTURES)[::one_in]
    found = split_alone(tmp_path, monkeypatch, architectures)
    assert [*found] == architectures
    wrong = {
        (arch, way, name): error
        for arch, ways in found.items()
        for way, values in ways.items()
        for name, error in values["errors"].items()
        if error > 1e-4
    }
    assert not wrong


# Qwen3 norms queries and keys by head: their weights meet only a process's own heads. Qwen2 has biases.
@pytest.mark.slow  # two ways at once; each alone is above
@pytest.mark.parametrize("arch", [
    pytest.param("qwen3", marks=[]), pytest.param("qwen2", marks=pytest.mark.slow),
])  # fmt: skip
@pytest.mark.parametrize("parallel", [
    pytest.param({"shard": 2, "tensor": 2}, marks=[]),
    pytest.param({"tensor": 2, "context": 2, "activation_checkpointing": True}, marks=pytest.mark.slow),
    pytest.param({"data": 2, "context": 2}, marks=pytest.mark.slow),
    pytest.param({"tensor": 4}, marks=pytest.mark.slow),
])  # fmt: skip
def test_splits_together_train_as_one_process(chain, tmp_path, arch, parallel):
    heads = ["-s", "model.config.num_attention_heads=4", "-s", "model.config.num_key_value_heads=4"]
    four_train_as_one(chain, tmp_path, parallel, "-s", f"model.arch={arch}", *heads)


@pytest.mark.slow
def test_an_objective_with_masks_of_its_own_cannot_share_positions(chain, tmp_path):
    command = pretraining(chain, tmp_path / "out", 2, "-s", "objective.type=prefix_lm")
    code, out, err = run(*LLMKIT, *command, "--nproc", 2, "-s", "parallel.context=2", "--json")
    assert code == 2, err
    assert err.count("error: parallel.context 2: the objective needs ") == 1
    assert json.loads(out)["exit_code"] == 2
    assert not (tmp_path / "out/.partial").exists()


@pytest.mark.parametrize(("setting", "message"), [
    ("optimizer.type=muon", "optimizer: muon needs whole matrices, and parallel.shard is 2"),
    pytest.param("compile=true", "compile: models in parts are not compiled, and parallel.shard is 2",
                 marks=pytest.mark.slow),
])  # fmt: skip
def test_what_shards_cannot_do_is_refused(chain, tmp_path, setting, message):
    command = pretraining(chain, tmp_path / "out", 2, "-s", setting, *TWO)
    code, out, err = run(*LLMKIT, *command, "--json")
    assert code == 2, err
    assert err.count(message) == 1
    assert json.loads(out)["exit_code"] == 2
