from __future__ import annotations

import numpy as np

from llmkit.cleaning.exchange import save_array
from llmkit.cleaning.survey import VERDICT, Survey, Verdict
from llmkit.work.engine import Engine

KEYED = np.dtype([("key", "u8"), ("task", "u4"), ("row", "u4")])


def survey(folder, tasks=2, buckets=3, before=()):
    made = Survey(folder, folder.parent / "ids", tasks, buckets, before)
    made.folder.mkdir(parents=True)
    made.ids.mkdir(parents=True, exist_ok=True)
    for task in range(tasks):
        save_array(made.ids_path(task), np.full((4, 16), task * 16, np.uint8) + np.arange(4, dtype=np.uint8)[:, None])
    return made


def verdict(task, row, position=0, keeper=(0, 0), value=0.0):
    return (task, row, position, *keeper, value)


def test_verdicts_of_all_parts_go_to_their_tasks_by_row_and_position(tmp_path):
    found = survey(tmp_path / "s")
    found.leave(0, np.array([verdict(1, 3, 1), verdict(0, 2, 0, (1, 1), 0.5), verdict(1, 0)], VERDICT))
    found.leave(1, np.array([], VERDICT))
    found.leave(2, np.array([verdict(1, 3, 0, (1, 2))], VERDICT))
    found.judge(Engine(workers=1))
    assert found.verdicts_by_row(0) == {2: [Verdict(0, "11" * 16, 0.5)]}
    assert found.verdicts_by_row(1) == {
        0: [Verdict(0, "00" * 16, 0.0)],
        3: [Verdict(0, "12" * 16, 0.0), Verdict(1, "00" * 16, 0.0)],
    }


def test_a_bucket_is_made_of_all_tasks_without_what_fell_before(tmp_path):
    first = survey(tmp_path / "first")
    first.leave(0, np.array([verdict(1, 2)], VERDICT))
    first.judge(Engine(workers=1), 1)
    found = survey(tmp_path / "second", before=(first,))
    low, high = 5, 2**64 - 1
    found.record(0, {"keys": np.array([(high, 9, 0), (low, 9, 1)], KEYED)})
    found.record(1, {"keys": np.array([(low, 9, 2), (low, 9, 3)], KEYED)})
    assert found.bucket("keys", 0, KEYED).tolist() == [(low, 0, 1), (low, 1, 3)]
    assert found.bucket("keys", 1, KEYED).tolist() == []
    assert found.bucket("keys", 2, KEYED).tolist() == [(high, 0, 0)]
    assert found.fallen(1).tolist() == [2]


def test_a_table_without_keys_stays_in_its_order(tmp_path):
    found = survey(tmp_path / "s")
    found.record(1, {"numbers": np.array([3, 1, 2])})
    assert found.table("numbers", 1).tolist() == [3, 1, 2]
