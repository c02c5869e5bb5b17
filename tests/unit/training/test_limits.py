"""What ends a training, in the loop and through the command line: patience and minutes."""

from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace

import pytest

from llmkit.core.errors import Interrupted
from llmkit.data.feeds import HeldOut
from llmkit.training import loop
from llmkit.training.metrics import read_metrics
from llmkit.training.validation import Scored
from tiny import stream, trainer, untimed


def scored(loss):
    """What a validation of this loss finds."""
    return Scored({"tokens": loss}, {"tokens": 1}, {"tokens": 1.0})


def patient(directory, monkeypatch, losses, **options):
    """A trainer whose validations after steps 0, 1, 2, ... find these losses."""
    settings = {"max_steps": 20, "validate": {"every": 1}, "validation": HeldOut(stream(20, seed=None), 500)}
    directory.mkdir(exist_ok=True)
    job = trainer(directory, **{**settings, **options})
    monkeypatch.setattr(loop, "validate", lambda *_, **__: scored(losses[job.state.step]))
    return job


LOSSES = [5.0, 4.0, 4.5, 4.2, 3.9, 4.0, 3.9, 4.1, 3.0, 2.0, 9.0, 9.0, 9.0, 9.0]


def test_patience_counts_validations_without_a_new_lowest_loss(tmp_path, monkeypatch):
    state = patient(tmp_path, monkeypatch, LOSSES, patience=3).train()
    assert (state.step, state.best, state.worse) == (7, 3.9, 3)  # an equal loss is not a lower one
    assert state.ended == "no better validation loss 3 times in a row"
    assert patient(tmp_path / "short", monkeypatch, LOSSES, patience=1).train().step == 2


@pytest.mark.parametrize("every", [1, 100])
def test_more_patience_extends_a_run_that_had_none_left(tmp_path, monkeypatch, every):
    options = {"checkpoint": {"every": every}}
    expected = patient(tmp_path / "straight", monkeypatch, LOSSES, patience=4, **options).train()
    assert (expected.step, expected.best) == (13, 2.0)
    assert patient(tmp_path / "extended", monkeypatch, LOSSES, patience=3, **options).train().step == 7
    again = patient(tmp_path / "extended", monkeypatch, LOSSES, patience=4, **options)
    assert again.state.step == 7
    found = again.train()
    assert (found.step, found.best, found.worse, found.ended) == (13, 2.0, 4, expected.ended)
    rows = [untimed(read_metrics(tmp_path / name)) for name in ("straight", "extended")]
    assert rows[0] == rows[1]


def test_a_stop_behind_a_validation_does_not_count_it_twice(tmp_path, monkeypatch):
    expected = patient(tmp_path / "straight", monkeypatch, LOSSES, patience=3).train()
    job = patient(tmp_path / "stopped", monkeypatch, LOSSES, patience=3)

    def stop(*_, **__):
        if job.state.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return scored(LOSSES[job.state.step])

    monkeypatch.setattr(loop, "validate", stop)
    with pytest.raises(Interrupted):
        job.train()
    found = patient(tmp_path / "stopped", monkeypatch, LOSSES, patience=3).train()
    assert (found.step, found.best, found.worse) == (expected.step, expected.best, expected.worse)
    rows = [untimed(read_metrics(tmp_path / name)) for name in ("straight", "stopped")]
    assert rows[0] == rows[1]


def test_minutes_on_a_clock_of_one_second_a_step(tmp_path, monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    schedule = {"type": "linear", "warmup_steps": 1, "min_lr_ratio": 0}
    job = trainer(tmp_path, max_minutes=0.1, schedule=schedule, optimizer={"lr": 8.0})
    state = job.train()
    # Six seconds. A step knows the time at which it began, as all processes do; so the seventh is the last.
    assert (state.step, state.ended) == (7, "0.1 minutes")
    # Before the first step nothing is known; then the pace says six steps, down to 0 at the sixth.
    assert [row["lr"] for row in read_metrics(tmp_path)] == pytest.approx([4, 8, 6, 4, 2, 0, 0])


TINY = ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32", "-s", "log_every=1"]


def pretrain(cli, chain, *more):
    return cli("pretrain", "--data", chain.tokens, "--model", chain.base, *TINY, *more, "-o", "out", "--json")


def test_patience_through_the_command_line(cli, chain, tmp_path):
    # A learning rate too small to move any weight: no validation is better than the first.
    still = ["--max-steps", 50, "-s", "optimizer.lr=1e-30", "-s", "validate.every=1"]
    outcome = pretrain(cli, chain, *still, "-s", "patience=2")
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "out" / "llmkit.json").read_text())["metrics"]
    assert (found["steps"], found["ended"]) == (2, "no better validation loss 2 times in a row")
    outcome = pretrain(cli, chain, *still, "-s", "patience=4")
    assert outcome.code == 0, outcome.err
    assert "resumed at step 2 of 50" in outcome.err
    found = json.loads((tmp_path / "out" / "llmkit.json").read_text())["metrics"]
    assert (found["steps"], found["ended"]) == (4, "no better validation loss 4 times in a row")


def test_minutes_through_the_command_line(cli, chain, tmp_path):
    outcome = pretrain(cli, chain, "-s", "max_minutes=0.01", "-s", "validate.every=1000")
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "out" / "llmkit.json").read_text())["metrics"]
    assert found["ended"] == "0.01 minutes"
    last = [row for row in read_metrics(tmp_path / "out") if "loss" in row][-1]
    assert last["step"] == found["steps"] >= 1
    assert last["elapsed_s"] >= 0.6
