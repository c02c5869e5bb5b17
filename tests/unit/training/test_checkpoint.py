from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
import torch

from llmkit.core import seal
from llmkit.core.errors import DataError
from llmkit.core.seal import SEAL as COMPLETE
from llmkit.training import checkpoint
from llmkit.training.checkpoint import (
    MODEL,
    OPTIMIZER,
    STATE,
    Writer,
    chosen,
    latest,
    load,
    read_state,
    rewind,
    write,
)
from llmkit.training.optimizers.adafactor import Adafactor
from llmkit.training.optimizers.adamw import AdamW
from llmkit.training.optimizers.muon import Muon
from llmkit.training.optimizers.sgd import SGD
from llmkit.training.snapshot import Snapshot, TrainState
from tiny import model


def state(step):
    resolved = {"precision": "float32", "micro_batch_tokens": 64, "compile": False}
    losses = [{"loss": 1 / 3, "loss_tokens": 0.1}, {"loss": 0.2, "loss_tokens": 1e-9}]
    return TrainState(
        step, step * 100, step / 3, resolved, losses, best=2 / 3, worse=2, validated=step, ended="3 steps"
    )


def one_step(built, optimizer, seed):
    built(input_ids=torch.arange(6)[None] + seed).logits.square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def trained(steps, part=None, **settings):
    """A model and its optimizer after some steps."""
    built = model(**settings)
    optimizer = (part or AdamW()).build(built)
    for step in range(steps):
        one_step(built, optimizer, step)
    return built, optimizer


def save(folder, built, optimizer, reached, *, keep):
    write(folder, Snapshot.of(built, optimizer, reached, {}, copy=False), keep=keep)


def saved(folder, *steps, keep=9):
    for step in steps:
        save(folder, *trained(step), state(step), keep=keep)
    return folder


def test_validations_are_counted_once_a_step():
    reached = TrainState(0, 0, 0.0, {})
    found = []
    for step, loss in [(0, 5.0), (1, 4.0), (1, 4.0), (2, 4.0), (2, 4.0), (3, 4.5), (4, 3.0), (4, 3.0)]:
        reached.step = step
        reached.count_validation(loss)
        found.append((reached.best, reached.worse))
    assert found == [(5, 0), (4, 0), (4, 0), (4, 1), (4, 1), (4, 2), (3, 0), (3, 0)]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_same(left, right):
    """Nested containers are equal, tensors to the bit."""
    assert type(left) is type(right)
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key, value in left.items():
            assert_same(value, right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def assert_same_training(left, right):
    assert_same(dict(left[0].state_dict()), dict(right[0].state_dict()))
    assert_same(left[1].state_dict(), right[1].state_dict())


@pytest.mark.parametrize("part", [AdamW(), Muon(), Adafactor()], ids=lambda part: part.type_name)
@pytest.mark.parametrize("tied", [True, False])
def test_what_is_saved_is_restored(tmp_path, part, tied):
    before = trained(3, part, tie_word_embeddings=tied)
    save(tmp_path, *before, state(3), keep=1)
    after = trained(0, part, tie_word_embeddings=tied)
    path, torn = latest(tmp_path)
    assert (path, torn) == (tmp_path / "step-00000003", [])
    assert load(path, *after) == read_state(path) == state(3)
    assert_same_training(before, after)
    shared = after[0].lm_head.weight is after[0].model.embed_tokens.weight
    assert shared == tied
    for pair in (before, after):  # and the next step is the same one
        one_step(*pair, 3)
    assert_same_training(before, after)
    assert not torch.equal(after[0].model.norm.weight, trained(3, part)[0].model.norm.weight)


def test_a_checkpoint_of_another_model_is_not_loaded(tmp_path):
    save(tmp_path, *trained(1, tie_word_embeddings=True), state(1), keep=1)
    path, _ = latest(tmp_path)
    with pytest.raises(DataError, match=r"step-00000001 is of another model: it has no lm_head\.weight") as error:
        load(path, *trained(0, tie_word_embeddings=False))
    assert error.value.exit_code == 3
    assert error.value.hint == "use the recipe that it was made with"
    with pytest.raises(DataError, match=r"the model has no model\.layers\.1\.") as error:
        load(path, *trained(0, num_hidden_layers=1))
    with pytest.raises(DataError, match=r"mlp\.down_proj\.weight is \[16, 32\] there, \[16, 48\] in the recipe's"):
        load(path, *trained(0, intermediate_size=48))


@pytest.mark.parametrize(
    ("saved_by", "loaded_by", "why"),
    [
        (AdamW(), Muon(), "it has 2 groups of parameters, not 3"),
        (Muon(), AdamW(), "it has 3 groups of parameters, not 2"),
        (AdamW(), Adafactor(), r"only one of the two has amsgrad, beta2_decay, betas, "),
        (Adafactor(), AdamW(), r"only one of the two has amsgrad, beta2_decay, betas, "),
        (AdamW(), SGD(), r"only one of the two has amsgrad, betas, "),
        (AdamW(), AdamW(decay_embeddings=False), "size of optimizer's group"),
    ],
)
def test_a_checkpoint_of_another_optimizer_is_not_loaded(tmp_path, saved_by, loaded_by, why):
    save(tmp_path, *trained(1, saved_by), state(1), keep=1)
    with pytest.raises(DataError, match=r"step-00000001 is of another optimizer: .*" + why) as error:
        load(latest(tmp_path)[0], *trained(0, loaded_by))
    assert error.value.exit_code == 3
    assert error.value.hint == "name that one, or begin anew: --resume never"


def test_a_torn_one_that_is_asked_for_is_not_loaded(tmp_path):
    saved(tmp_path, 1)
    (tmp_path / "step-00000001" / OPTIMIZER).unlink()
    with pytest.raises(DataError, match="step-00000001 is not a whole checkpoint") as error:
        load(tmp_path / "step-00000001", *trained(0))
    assert error.value.hint == f"ls {tmp_path}"


def test_there_is_no_random_state_in_a_checkpoint(tmp_path):
    before = torch.get_rng_state()
    saved(tmp_path, 1)
    torch.manual_seed(8)
    here = torch.get_rng_state()
    load(latest(tmp_path)[0], *trained(0))
    assert torch.equal(torch.get_rng_state(), here)
    assert not torch.equal(before, here)


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


def test_going_back_removes_what_lies_ahead(tmp_path):
    saved(tmp_path, 1, 2, 10)
    rewind(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    rewind(tmp_path, 0)
    assert names(tmp_path) == []
    rewind(tmp_path / "missing", 3)


def test_which_checkpoint_to_go_on_from(tmp_path):
    out = tmp_path / "out"
    unfinished, finished = out / ".partial" / "checkpoints", out / "checkpoints"
    foreign = tmp_path / "elsewhere" / "checkpoints" / "step-00000004"
    for own in (unfinished, finished):
        newest = own / "step-00000009"
        assert chosen(own, None, newest) == newest
        assert chosen(own, None, None) is None
        # One of the run's own is gone back to, wherever the run's folder is by now.
        for asked in (unfinished / "step-00000002", finished / "step-00000002"):
            if own == unfinished or asked.is_relative_to(finished):
                assert chosen(own, asked, newest) == own / "step-00000002"
        # Another run's is where this one begins; once it has one of its own, that is further.
        assert chosen(own, foreign, None) == foreign
        assert chosen(own, foreign, newest) == newest


def test_a_copied_snapshot_is_not_changed_by_training(tmp_path):
    built, optimizer = trained(2)
    reached = state(2)
    snapshot = Snapshot.of(built, optimizer, reached, {}, copy=True)
    for step in range(2, 5):
        one_step(built, optimizer, step)
    reached.losses.clear()
    reached.resolved["compile"] = True
    write(tmp_path, snapshot, keep=1)
    restored = trained(0)
    assert load(latest(tmp_path)[0], *restored) == state(2)
    assert_same_training(restored, trained(2))


@pytest.fixture
def gate(monkeypatch):
    """Writing of weights waits until `set()`."""
    passed = threading.Event()

    def waiting(*arguments, save_file=checkpoint.save_file):
        assert passed.wait(30)
        save_file(*arguments)

    monkeypatch.setattr(checkpoint, "save_file", waiting)
    yield passed
    passed.set()


def test_the_background_writer_writes_what_was_there_when_it_was_asked(tmp_path, gate):
    built, optimizer = trained(2)
    reached = state(2)
    with Writer(tmp_path, keep=1, background=True) as writer:
        writer.save(built, optimizer, reached)
        for step in range(2, 5):  # training goes on while the file is written
            one_step(built, optimizer, step)
        reached.step, reached.losses = 5, []
        assert latest(tmp_path) == (None, [])
        gate.set()
    restored = trained(0)
    assert load(latest(tmp_path)[0], *restored) == state(2)
    assert_same_training(restored, trained(2))
    assert_same_training((built, optimizer), trained(5))


def test_one_checkpoint_is_written_at_a_time(tmp_path, gate):
    built, optimizer = trained(1)
    writer = Writer(tmp_path, keep=5, background=True)
    writer.save(built, optimizer, state(1))
    threading.Timer(0.2, gate.set).start()
    writer.save(built, optimizer, state(2))  # waits for the first
    assert (tmp_path / "step-00000001" / COMPLETE).is_file()
    writer.wait()
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    writer.wait()


def test_in_the_foreground_a_save_is_done_when_it_returns(tmp_path):
    writer = Writer(tmp_path, keep=1, background=False)
    writer.save(*trained(1), state(1))
    assert latest(tmp_path) == (tmp_path / "step-00000001", [])
    assert threading.active_count() == 1 or all(thread.name != "checkpoint" for thread in threading.enumerate())


@pytest.mark.parametrize("where", ["the next save", "wait", "the end"])
def test_what_goes_wrong_in_the_background_is_raised_once(tmp_path, monkeypatch, where):
    saved(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        writer = Writer(tmp_path, keep=1, background=True)
        pair = trained(2)

        def use():
            with writer:
                writer.save(*pair, state(2))
                if where == "the next save":
                    writer.save(*pair, state(3))
                if where == "wait":
                    writer.wait()

        with pytest.raises(OSError, match="No space left on device"):
            use()
    assert latest(tmp_path) == (tmp_path / "step-00000001", [])
    writer.save(*pair, state(4))
    writer.wait()
    assert names(tmp_path) == ["step-00000004"]


def test_an_error_of_training_is_not_hidden_by_one_of_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "save_file", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(KeyError, match="training"), Writer(tmp_path, keep=1, background=True) as writer:
        writer.save(*trained(1), state(1))
        raise KeyError("training")


class Killed(BaseException):
    """The process ends here."""


class Countdown:
    """Ends the process at the n-th of the wrapped calls: before it, or with what it wrote cut in half."""

    def __init__(self, monkeypatch, deadly, *, half_done):
        self.calls, self.deadly, self.half_done = 0, deadly, half_done
        places = [
            (checkpoint, "save_file"), (checkpoint.torch, "save"), (checkpoint, "write_json"), (checkpoint, "fsync"),
            (seal, "write_json"), (seal, "fsync"), (checkpoint.shutil, "rmtree"), (Path, "mkdir"), (Path, "rename"),
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


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("half_done", [False, True])
def test_a_kill_at_any_step_of_a_save_leaves_one_to_go_on_from(tmp_path, monkeypatch, half_done, background):
    whole = saved(tmp_path / "whole", 1)
    pairs = {1: trained(1), 2: trained(2)}
    found = []
    for deadly in range(100):
        folder = tmp_path / f"killed-{deadly}"
        shutil.copytree(whole, folder)
        with monkeypatch.context() as patch:
            countdown = Countdown(patch, deadly, half_done=half_done)
            try:
                with Writer(folder, keep=1, background=background) as writer:
                    writer.save(*pairs[2], state(2))
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
