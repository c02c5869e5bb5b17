from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.exchange import bucket_of, join, load_array, load_bucket, save_array, save_buckets

RECORD = np.dtype([("key", "u8"), ("row", "u4")])


def test_buckets_hold_their_records_in_order(tmp_path):
    records = np.array([(5, 0), (6, 1), (5, 2), (7, 3)], RECORD)
    save_buckets(tmp_path / "t.npy", records, np.array([2, 0, 2, 2]), 4)
    found = [load_bucket(tmp_path / "t.npy", bucket)["row"].tolist() for bucket in range(4)]
    assert found == [[1], [], [0, 2, 3], []]
    assert {path.name for path in tmp_path.iterdir()} == {"t.npy", "t.offsets.npy"}


def test_no_records(tmp_path):
    save_buckets(tmp_path / "t.npy", np.empty(0, RECORD), np.empty(0, np.int64), 2)
    assert [len(load_bucket(tmp_path / "t.npy", bucket)) for bucket in range(2)] == [0, 0]
    assert join([load_bucket(tmp_path / "t.npy", 0)], RECORD).dtype == RECORD


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.integers(1, 50))
def test_every_key_has_one_bucket_and_larger_keys_have_no_smaller_one(keys, num_buckets):
    found = bucket_of(np.array(sorted(keys), np.uint64), num_buckets)
    assert found.tolist() == [((key >> 32) * num_buckets) >> 32 for key in sorted(keys)]
    assert (np.diff(found) >= 0).all()
    assert 0 <= found.min() <= found.max() < num_buckets


def test_a_full_disk_leaves_the_old_array(tmp_path, monkeypatch):
    save_array(tmp_path / "a.npy", np.arange(3))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("llmkit.cleaning.exchange.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_array(tmp_path / "a.npy", np.arange(9))
    assert load_array(tmp_path / "a.npy").tolist() == [0, 1, 2]
