from __future__ import annotations

import pytest
from test_exact_duplicates import decided

from llmkit.cleaning.quotas import NUM_BINS, QuotaRecorder
from llmkit.cleaning.steps.cap import Cap
from llmkit.data.corpus import Document


def number(step, digit):
    """The random number of the document whose id repeats a digit."""
    recorder = QuotaRecorder(step.seed)
    recorder.add(0, Document(digit * 32, "", "s"))
    return recorder.rows[0][1]


def documents(sizes, source="s"):
    return [Document(digit * 32, "x" * size, source) for digit, size in sizes.items()]


def stays(step, sizes, limit):
    """By hand: in the order of the random numbers, all up to the first that does not fit; too large ones never."""
    left, kept = limit, set()
    for digit in sorted((d for d in sizes if sizes[d] <= limit), key=lambda digit: number(step, digit)):
        if sizes[digit] > left:
            break
        kept.add(digit)
        left -= sizes[digit]
    return kept


@pytest.mark.parametrize("limit", [1, 9, 10, 25, 99, 100, 101])
@pytest.mark.parametrize("bins", [NUM_BINS, 1])
def test_the_smallest_random_numbers_that_fit_stay(tmp_path, monkeypatch, limit, bins):
    if bins == 1:  # all documents in one bin, which is then sorted
        import numpy as np

        monkeypatch.setattr("llmkit.cleaning.quotas._BIN_SHIFT", np.uint64(63))
    sizes = dict.fromkeys("0123456789", 10)
    counts, drops = decided(Cap(limit=limit), [documents(sizes)], tmp_path)
    assert sizes.keys() - drops.keys() == stays(Cap(limit=limit), sizes, limit)
    assert len(sizes) - len(drops) == min(limit // 10, 10)
    assert counts == {"sources cut": int(limit < 100)}


def test_sizes_differ(tmp_path):
    sizes = {"1": 40, "2": 3, "3": 17, "4": 80, "5": 8, "6": 25}
    for limit in range(1, 180, 7):
        _, drops = decided(Cap(limit=limit, seed=4), [documents(sizes)], tmp_path / str(limit))
        assert sizes.keys() - drops.keys() == stays(Cap(limit=limit, seed=4), sizes, limit), limit


def test_a_document_larger_than_the_limit_does_not_push_out_the_others(tmp_path):
    # Whatever the order, the nine small ones fit.
    for seed in range(4):
        sizes = {**dict.fromkeys("123456789", 10), "0": 1000}
        _, drops = decided(Cap(limit=100, seed=seed), [documents(sizes)], tmp_path / str(seed))
        assert set(drops) == {"0"}


def test_bytes_are_of_utf8(tmp_path):
    chinese = [Document(digit * 32, "春天来了", "s") for digit in "12"]
    assert decided(Cap(limit=24), [chinese], tmp_path / "a")[1] == {}
    assert len(decided(Cap(limit=23), [chinese], tmp_path / "b")[1]) == 1


def test_documents_are_counted_where_the_unit_says_so(tmp_path):
    sizes = {"1": 1000, "2": 1, "3": 0, "4": 7}
    counts, drops = decided(Cap(limit=3, unit="documents"), [documents(sizes)], tmp_path)
    assert counts == {"sources cut": 1}
    assert list(drops) == [max(sizes, key=lambda digit: number(Cap(limit=3), digit))]


def test_each_source_has_its_own_limit(tmp_path):
    tasks = [documents({"1": 10, "2": 10}, "web"), documents({"3": 10, "4": 10}, "books"), documents({"5": 30}, "web")]
    step = Cap(limit=20, per_source={"books": 10, "absent": 1})
    counts, drops = decided(step, tasks, tmp_path)
    assert counts == {"sources cut": 2, "no documents of absent": 1}
    assert drops.pop("5") == ("cap", "source web")
    (book,) = drops
    assert book in "34"
    assert step.act(tasks[1][0], []).threshold == 10


def test_neither_the_order_nor_the_tasks_nor_the_buckets_matter(tmp_path):
    sizes = {digit: 5 + int(digit, 16) for digit in "0123456789abcdef"}
    everything = documents(sizes)
    one = decided(Cap(limit=90), [everything], tmp_path / "1")[1]
    assert 0 < len(one) < 16
    assert decided(Cap(limit=90), [everything[9:], [], everything[:9]], tmp_path / "2", 1)[1] == one
    assert decided(Cap(limit=90), [[d] for d in everything[::-1]], tmp_path / "3", 9)[1] == one
    assert decided(Cap(limit=90, seed=1), [everything], tmp_path / "4")[1] != one


def test_empty_documents_and_no_documents(tmp_path):
    assert decided(Cap(limit=1), [documents({"1": 0, "2": 0})], tmp_path / "1") == ({"sources cut": 0}, {})
    assert decided(Cap(limit=1), [[]], tmp_path / "2") == ({"sources cut": 0}, {})
