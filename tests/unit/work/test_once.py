from __future__ import annotations

from itertools import islice

import pytest

from llmkit.work.engine import Engine
from llmkit.work.once import Once, run_once, run_plan, windows


def test_a_task_is_done_once(tmp_path):
    calls = []

    def work(task):
        calls.append(task)
        return {"double": 2 * task}

    once = Once(work, tmp_path)
    assert [once((i, task)) for i, task in enumerate([5, 6, 5])] == [{"double": 10}, {"double": 12}, {"double": 10}]
    (tmp_path / "000001.done").unlink()
    assert list(run_plan(Engine(workers=1), work, [5, 6, 5], tmp_path)) == [
        {"double": 10},
        {"double": 12},
        {"double": 10},
    ]
    assert calls == [5, 6, 5, 6]


def test_a_task_that_fails_is_not_done(tmp_path):
    calls = []

    def work(task):
        calls.append(task)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        return task

    once = Once(work, tmp_path)
    with pytest.raises(OSError, match="No space left"):
        once((0, 7))
    assert once((0, 7)) == 7
    assert len(calls) == 2


def test_a_piece_of_work_is_done_once(tmp_path):
    calls = []
    for _ in range(2):
        assert run_once(tmp_path, "piece", lambda: calls.append(1) or "made") == "made"
    assert calls == [1]


def test_windows_that_are_done_are_counted_off(tmp_path):
    made = []

    def window(records, place):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(place)
        return list(islice(records, 3))

    with pytest.raises(KeyboardInterrupt):
        list(windows(window, iter(range(8)), tmp_path / "w", len))
    assert made == [tmp_path / "w" / "000000", tmp_path / "w" / "000001"]
    made.append(None)
    assert list(windows(window, iter(range(8)), tmp_path / "w", len)) == [
        ([0, 1, 2], True), ([3, 4, 5], True), ([6, 7], False),
    ]  # fmt: skip
    assert made[3:] == [tmp_path / "w" / "000002", tmp_path / "w" / "000003"]
