from __future__ import annotations

import pytest

from llmkit.cleaning.plan import Task
from llmkit.cleaning.shards import group_by_size


@pytest.mark.parametrize(("sizes", "groups"), [
    ([], []),
    ([0], [[0]]),  # a first task of which nothing is left
    ([0, 0, 100], [[0, 1, 2]]),
    ([60, 40, 1], [[0, 1], [2]]),
    ([101], [[0]]),
    ([1, 101, 0, 1], [[0], [1], [2, 3]]),
])  # fmt: skip
def test_neighbours_fill_a_shard(monkeypatch, sizes, groups):
    monkeypatch.setattr("llmkit.cleaning.shards.SHARD_CHARS", 100)
    tasks = [Task(number, ()) for number in range(len(sizes))]
    found = [[task.number for task in group] for group in group_by_size(tasks, sizes)]
    assert found == groups
