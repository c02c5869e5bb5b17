"""The weights of the best validation: chosen, kept over kills, and what a run leaves."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
import torch

from llmkit.core.errors import ConfigError, DataError, Interrupted
from llmkit.data.feeds import HeldOut
from llmkit.training import loop
from llmkit.training.best import Best
from llmkit.training.checkpoint import latest
from llmkit.training.snapshot import TrainState
from llmkit.training.validation import Scored
from tiny import stream, trainer

LOSSES = [5.0, 4.0, 3.0, 3.5, 2.0, 2.5, 3.0, 2.0, 9.0]


def job(directory, monkeypatch, losses=LOSSES, **options):
    """A trainer whose validations after steps 0, 1, 2, ... find these losses."""
    directory.mkdir(exist_ok=True)
    settings = {"max_steps": 8, "validate": {"every": 1}, "validation": HeldOut(stream(20, seed=None), 500),
                "keep_best": "validation_loss", "checkpoint": {"every": 2, "background": False}}  # fmt: skip
    found = trainer(directory, **{**settings, **options})
    monkeypatch.setattr(
        loop, "validate", lambda *_, **__: Scored({"tokens": losses[found.state.step]}, {"tokens": 1}, {"tokens": 1.0})
    )
    return found


def weights(found):
    return {name: tensor.clone() for name, tensor in found.model.state_dict().items()}


def at(directory, monkeypatch, step):
    """The weights of a run of so many steps."""
    found = job(directory, monkeypatch, max_steps=step, keep_best=None,
                schedule={"type": "constant", "warmup_steps": 0})  # fmt: skip
    found.train()
    return weights(found)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_leaves_the_weights_of_its_best_validation(tmp_path, monkeypatch):
    constant = {"schedule": {"type": "constant", "warmup_steps": 0}}
    best = job(tmp_path / "best", monkeypatch, **constant)
    state = best.train()
    assert (state.step, state.best, state.best_step) == (8, 2.0, 4)  # an equal one later is not better
    assert best.best.record(state) == {"best": {"measure": "validation_loss", "value": 2.0, "step": 4}}
    assert same(weights(best), at(tmp_path / "four", monkeypatch, 4))
    assert not same(weights(best), at(tmp_path / "eight", monkeypatch, 8))


@pytest.mark.parametrize("killed", [1, 3, 5, 7])
def test_a_killed_run_leaves_what_an_undisturbed_one_does(tmp_path, monkeypatch, killed):
    straight = job(tmp_path / "straight", monkeypatch)
    expected = straight.train()
    found = job(tmp_path / "killed", monkeypatch)
    validate = loop.validate

    def die(*arguments, **options):
        if found.state.step == killed:
            raise KeyboardInterrupt
        return validate(*arguments, **options)

    monkeypatch.setattr(loop, "validate", die)
    with pytest.raises(KeyboardInterrupt):
        found.train()
    again = job(tmp_path / "killed", monkeypatch)
    assert again.state.step == killed // 2 * 2
    state = again.train()
    assert (state.best, state.best_step, state.worse) == (expected.best, expected.best_step, expected.worse)
    assert same(weights(again), weights(straight))
    kept = sorted(path.name for path in (tmp_path / "killed/checkpoints").glob("best-*"))
    assert kept[-1] == "best-00000004"
    assert len(kept) <= 3


def test_a_kill_while_the_best_is_written_is_not_missed(tmp_path, monkeypatch):
    """The weights of an earlier checkpoint's best are there until no checkpoint goes on from them."""
    found = job(tmp_path / "run", monkeypatch)
    seal = "llmkit.training.best.seal"
    with monkeypatch.context() as patch:

        def die(folder):
            if found.state.step == 4:
                raise KeyboardInterrupt

            from llmkit.core.seal import seal

            seal(folder)

        patch.setattr(seal, die)
        with pytest.raises(KeyboardInterrupt):
            found.train()
    checkpoint, _ = latest(tmp_path / "run/checkpoints")
    assert checkpoint.name == "step-00000004"
    again = job(tmp_path / "run", monkeypatch)
    assert again.state.best_step == 2
    assert again.best.take(again.trained, again.state)
    assert again.train().best_step == 4


def test_an_interrupted_run_goes_on_with_the_same_best(tmp_path, monkeypatch):
    found = job(tmp_path, monkeypatch)
    validate = loop.validate

    def stop(*arguments, **options):
        if found.state.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return validate(*arguments, **options)

    monkeypatch.setattr(loop, "validate", stop)
    with pytest.raises(Interrupted):
        found.train()
    assert job(tmp_path, monkeypatch).train().best_step == 4


def test_a_checkpoint_of_another_run_has_its_best_elsewhere(tmp_path, monkeypatch):
    job(tmp_path / "one", monkeypatch, max_steps=6).train()
    shutil.copytree(tmp_path / "one/checkpoints/step-00000006", tmp_path / "two/checkpoints/step-00000006")
    found = job(tmp_path / "two", monkeypatch)
    assert (found.state.step, found.state.best, found.state.best_step) == (6, None, -1)
    assert found.train().best_step == 7


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    found = job(tmp_path, monkeypatch)
    found.train()
    file = tmp_path / "checkpoints/best-00000004/model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"best validation in .* are damaged"):
        found.best.take(found.trained, found.state)


class Measured:
    lower = ("mse",)


@pytest.mark.parametrize(("measure", "values", "best"), [
    ("accuracy", [0.1, 0.5, 0.4], 1), ("mse", [3.0, 1.0, 2.0], 1), ("validation_loss_a", [1.0, 2.0, 0.5], 2),
    (None, [1.0, 2.0, 0.5], 2), ("bits_per_byte", [0.1, 0.2, 0.3], 0),
])  # fmt: skip
def test_which_way_is_better(tmp_path, measure, values, best):
    found, state = Best(tmp_path, measure, Measured()), TrainState(0, 0, 0.0, {})
    for state.step, value in enumerate(values):
        found.count({"step": state.step, "tokens": 1, measure or "validation_loss": value}, state)
    assert state.best_step == best
    assert found.record(state) == (
        {"best": {"measure": measure, "value": values[best], "step": best}} if measure else {}
    )


def test_a_measure_that_there_is_not_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="no 'acuracy'; did you mean 'accuracy'") as error:
        Best(tmp_path, "acuracy", Measured()).count(
            {"step": 1, "tokens": 2, "validation_loss": 1.0, "accuracy": 0.5}, TrainState(0, 0, 0.0, {})
        )
    assert error.value.hint == "it has validation_loss, accuracy"


def test_without_validation_data_there_is_no_best(tmp_path):
    with pytest.raises(ConfigError, match="accuracy is measured on validation data, and there is none"):
        Best(tmp_path, "accuracy", Measured(), validated=False)
