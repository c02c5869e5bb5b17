from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from llmkit.training import checkpoint
from llmkit.training.checkpoint import COMPLETE, MODEL, OPTIMIZER, STATE, TrainState, latest, load, save
from llmkit.training.config import OptimizerConfig
from llmkit.training.optim import build_optimizer
from tiny import model


def state(step):
    return TrainState(step, step * 100, step / 3, {"precision": "float32", "micro_batch_tokens": 64}, [1 / 3, 0.1])


def trained(steps, **settings):
    """A model and its optimizer after some steps."""
    built = model(**settings)
    optimizer = build_optimizer(built, OptimizerConfig())
    for step in range(steps):
        built(input_ids=torch.arange(6)[None] + step).logits.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return built, optimizer


def saved(folder, *steps, keep=9):
    for step in steps:
        save(folder, *trained(step), state(step), keep=keep)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_same_training(left, right):
    for one, other in zip(left[0].parameters(), right[0].parameters(), strict=True):
        assert torch.equal(one, other)
    one, other = left[1].state_dict(), right[1].state_dict()
    assert one["param_groups"] == other["param_groups"]
    for index, values in one["state"].items():
        for name, value in values.items():
            assert torch.equal(value, other["state"][index][name]), name


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_saved_is_restored(tmp_path, tied):
    before = trained(3, tie_word_embeddings=tied)
    save(tmp_path, *before, state(3), keep=1)
    after = trained(0, tie_word_embeddings=tied)
    path, torn = latest(tmp_path)
    assert (path, torn) == (tmp_path / "step-00000003", [])
    assert load(path, *after) == state(3)
    assert_same_training(before, after)
    shared = after[0].lm_head.weight is after[0].model.embed_tokens.weight
    assert shared == tied
    for pair in (before, after):  # and the next step is the same one
        pair[0](input_ids=torch.tensor([[5, 4, 3]])).logits.sum().backward()
        pair[1].step()
    assert_same_training(before, after)


def test_random_state_is_restored(tmp_path):
    np.random.standard_normal()  # leaves the second half of a pair in the state
    random.gauss(0, 1)
    save(tmp_path, *trained(1), state(1), keep=1)

    def draw():
        return [random.random(), random.gauss(0, 1), float(np.random.standard_normal()), torch.rand(3).tolist()]

    expected = draw()
    assert draw() != expected
    load(latest(tmp_path)[0], *trained(0))
    assert draw() == expected


def test_a_checkpoint_of_another_model_is_not_loaded(tmp_path):
    save(tmp_path, *trained(1, tie_word_embeddings=True), state(1), keep=1)
    with pytest.raises(AssertionError, match=r"is of another model.*lm_head"):
        load(latest(tmp_path)[0], *trained(0, tie_word_embeddings=False))


def test_the_newest_ones_stay(tmp_path):
    saved(tmp_path, 1, 2, 3, 10, keep=2)
    assert names(tmp_path) == ["step-00000003", "step-00000010"]
    assert names(tmp_path / "step-00000010") == [COMPLETE, MODEL, OPTIMIZER, STATE]
    saved(tmp_path, 11, keep=1)
    assert names(tmp_path) == ["step-00000011"]


def test_saving_a_step_twice_leaves_the_first(tmp_path):
    saved(tmp_path, 1)
    before = (tmp_path / "step-00000001" / MODEL).stat()
    saved(tmp_path, 1)
    assert (tmp_path / "step-00000001" / MODEL).stat() == before


def remove(name):
    return lambda path: (path / name).unlink()


def halve(name):
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[: (path / name).stat().st_size // 2])


def empty(name):
    return lambda path: (path / name).write_bytes(b"")


TEARS = {
    f"{tear.__name__} {name}": tear(name)
    for tear in (remove, halve, empty)
    for name in (MODEL, OPTIMIZER, STATE, COMPLETE)
}


@pytest.mark.parametrize("tear", TEARS.values(), ids=TEARS)
def test_a_torn_one_is_passed_over(tmp_path, tear):
    saved(tmp_path, 1, 2)
    tear(tmp_path / "step-00000002")
    assert latest(tmp_path) == (tmp_path / "step-00000001", [tmp_path / "step-00000002"])
    # The next save counts whole ones only: a torn one of a later step must not push it out.
    saved(tmp_path, 1)
    (tmp_path / "step-00000002").rename(tmp_path / "step-00000007")
    saved(tmp_path, 3, keep=1)
    assert names(tmp_path) == ["step-00000003"]


def test_none_whole_is_none(tmp_path):
    assert latest(tmp_path / "missing") == (None, [])
    saved(tmp_path, 1)
    remove(COMPLETE)(tmp_path / "step-00000001")
    assert latest(tmp_path) == (None, [tmp_path / "step-00000001"])


class Killed(BaseException):
    """The process ends here."""


class Countdown:
    """Ends the process at the n-th of the wrapped calls: before it, or with what it wrote cut in half."""

    def __init__(self, monkeypatch, deadly, *, half_done):
        self.calls, self.deadly, self.half_done = 0, deadly, half_done
        places = [
            (checkpoint, "save_file"), (checkpoint.torch, "save"), (checkpoint, "write_json"), (checkpoint, "fsync"),
            (checkpoint.shutil, "rmtree"), (Path, "mkdir"), (Path, "rename"),
        ]  # fmt: skip
        for owner, name in places:
            monkeypatch.setattr(owner, name, self.wrap(getattr(owner, name)))

    def wrap(self, function):
        def call(*arguments, **options):
            if self.calls == self.deadly:
                if self.half_done:
                    function(*arguments, **options)
                    for argument in arguments:
                        if isinstance(argument, Path) and argument.is_file() and function.__name__ != "fsync":
                            argument.write_bytes(argument.read_bytes()[: argument.stat().st_size // 2])
                raise Killed
            self.calls += 1
            return function(*arguments, **options)

        return call


@pytest.mark.parametrize("half_done", [False, True])
def test_a_kill_at_any_step_of_a_save_leaves_one_to_go_on_from(tmp_path, monkeypatch, half_done):
    whole = saved(tmp_path / "whole", 1)
    pairs = {1: trained(1), 2: trained(2)}
    found = []
    for deadly in range(100):
        folder = tmp_path / f"killed-{deadly}"
        shutil.copytree(whole, folder)
        with monkeypatch.context() as patch:
            countdown = Countdown(patch, deadly, half_done=half_done)
            try:
                save(folder, *pairs[2], state(2), keep=1)
            except Killed:
                pass
            else:
                break
        path, _ = latest(folder)
        restored = trained(0)
        step = load(path, *restored).step
        assert_same_training(restored, pairs[step])
        found.append(step)
        save(folder, *pairs[2], state(2), keep=1)  # what the kill left is in nobody's way
        if step == 1:
            assert names(folder) == ["step-00000002"]
        assert latest(folder) == (folder / "step-00000002", [])
    assert countdown.calls == len(found) >= 12
    assert found == sorted(found)
    assert set(found) == {1, 2}
