"""Checkpoints by time: when they are due, which stay, and that they change nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmkit.core.seal import is_whole
from llmkit.training import timed
from llmkit.training.checkpoint import Writer, read_state
from llmkit.training.metrics import read_metrics
from llmkit.training.timed import Timer
from tiny import trainer, untimed


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set."""
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(timed.time, "monotonic", lambda: now.s)
    return now


def asked(clock, timer, *lengths):
    """Steps of these lengths, in seconds; return the seconds after which a checkpoint was asked for."""
    found, start = [], clock.s
    for length in lengths:
        asks = timer.asks()
        clock.s += length
        if asks:
            found.append(clock.s - start)
            timer.saved()
    return found


def writer(folder, *, seconds=0.0, busy=False):
    return SimpleNamespace(folder=folder, seconds=seconds, busy=busy)


def test_no_more_is_lost_than_the_minutes_that_are_given(clock, tmp_path):
    # Of steps of 40 s, the one that ends at 280 s is saved: with the next, 320 s could be lost.
    assert asked(clock, Timer(5, writer(tmp_path), 0), *[40] * 16) == [280, 560]
    assert asked(clock, Timer(5, writer(tmp_path), 0), *[100] * 7) == [300, 600]
    assert asked(clock, Timer(5, writer(tmp_path), 0), *[1] * 299) == []
    assert asked(clock, Timer(1, writer(tmp_path), 0), *[400] * 4) == [800, 1200, 1600], "steps longer than that: all"


def test_a_validation_is_no_long_step(clock, tmp_path):
    assert asked(clock, Timer(5, writer(tmp_path), 0), 1, 1, 200, 1, 1, 1) == []


def test_saving_takes_a_twentieth_of_the_time_at_most(clock, tmp_path):
    slow = writer(tmp_path, seconds=60)
    assert asked(clock, Timer(5, slow, 0), *[100] * 25) == [1200, 2400]
    assert asked(clock, Timer(5, writer(tmp_path, busy=True), 0), *[100] * 9) == []


def test_off_and_without_room(clock, tmp_path):
    assert asked(clock, Timer(None, writer(tmp_path), 0), *[100] * 9) == []
    assert asked(clock, Timer(5, writer(tmp_path / "not" / "there"), 1 << 60), *[100] * 9) == []


@pytest.fixture
def often(monkeypatch):
    """Ask at every step, whatever the clock says."""
    monkeypatch.setattr(Timer, "asks", lambda self: self.every_s is not None)


def reached(folder):
    return [read_state(path).step for path in sorted((folder / "checkpoints").iterdir()) if is_whole(path)]


@pytest.mark.parametrize("background", [True, False])
def test_the_bits_are_those_of_a_run_without_and_none_takes_the_place_of_one_by_steps(
    tmp_path, often, monkeypatch, background
):
    settings = {"every": 4, "keep": 2, "background": background}
    saves, save = [], Writer.save

    def counted(self, *arguments, by_time, **options):
        saves.append((arguments[2].step, by_time))
        save(self, *arguments, by_time=by_time, **options)
        self.wait()
        saves.append(reached(tmp_path / "timed"))

    for name in ("plain", "timed"):
        (tmp_path / name).mkdir()
    runs = {name: trainer(tmp_path / name, max_steps=9, checkpoint={**settings, "every_minutes": minutes})
            for name, minutes in (("plain", None), ("timed", 5))}  # fmt: skip
    runs["plain"].train()
    monkeypatch.setattr(Writer, "save", counted)
    runs["timed"].train()
    assert saves[::2] == [(step, step not in (4, 8, 9)) for step in range(1, 10)]
    assert saves[1::2] == [[1], [2], [3], [4], [4, 5], [4, 6], [4, 7], [4, 8], [8, 9]]
    rows = [untimed(read_metrics(tmp_path / name)) for name in ("plain", "timed")]
    assert rows[0] == rows[1]
    for one, other in zip(*(run.model.parameters() for run in runs.values()), strict=True):
        assert one.equal(other)
