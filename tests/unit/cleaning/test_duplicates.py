from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.duplicates import KEYED, KeyRecorder, group_equal, rank_of


def test_the_rank_is_the_first_half_of_the_id():
    assert rank_of("0" * 15 + "a" + "f" * 16) == 10
    assert rank_of("f" * 32) == 2**64 - 1


def test_a_recorder_keeps_both_halves_of_a_key():
    recorder = KeyRecorder()
    recorder.add_key(bytes(range(16)), 2**64 - 1, 3, 4, 5)
    (record,) = recorder.tables()["keys"].tolist()
    assert record == (0x0001020304050607, 0x08090A0B0C0D0E0F, 2**64 - 1, 0, 3, 4, 5)
    assert len(KeyRecorder().tables()["keys"]) == 0


def test_keys_that_share_one_half_differ():
    records = np.zeros(3, KEYED)
    records["key"], records["key2"], records["rank"] = [1, 1, 2], [1, 2, 1], [3, 2, 1]
    assert group_equal(records)[1].tolist() == [0, 1, 2]


places = st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3), st.integers(0, 2), st.integers(0, 5))


@given(st.lists(places, max_size=30), st.randoms())
def test_the_leader_is_the_smallest_rank_then_place_whatever_the_order(rows, rng):
    records = np.zeros(len(rows), KEYED)
    for name, column in zip(("key", "key2", "rank", "task", "row"), zip(*rows, strict=True), strict=False):
        records[name] = column
    expected = {}
    for row in rows:
        expected[row[:2]] = min(expected.get(row[:2], row[2:]), row[2:])
    order = list(range(len(rows)))
    rng.shuffle(order)
    found, leaders = group_equal(records[order])
    for record, leader in zip(found, found[leaders], strict=True):
        assert tuple(leader[["rank", "task", "row"]].tolist()) == expected[record["key"].item(), record["key2"].item()]
