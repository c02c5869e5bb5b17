from __future__ import annotations

import pytest

from llmkit.work.engine import Engine
from llmkit.work.once import Once, run_once, run_plan


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
