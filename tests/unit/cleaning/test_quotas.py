from __future__ import annotations

import hashlib

import numpy as np
import pytest

from llmkit.cleaning.quotas import SHARE, QuotaRecorder, available, judge_quotas, source_key
from llmkit.cleaning.survey import VERDICT, Survey
from llmkit.data.corpus import Document
from llmkit.work.engine import Engine


def fallen(folder, tables, quotas, before=()):
    """Return how many sources are cut, and the rows that fall per task, given `(source, number, size)` per row."""
    survey = Survey(folder, folder / "ids", len(tables), 1, before)
    for task, rows in enumerate(tables):
        survey.record(task, {"shares": np.array([(*row, i) for i, row in enumerate(rows)], SHARE)})
    count = judge_quotas(survey, Engine(workers=1), quotas)
    return count, [survey.verdicts(task)["row"].tolist() for task in range(len(tables))]


def test_what_is_recorded():
    recorder = QuotaRecorder(3)
    recorder.add(5, Document("a" * 32, "春天 ab", "web"))
    number = int.from_bytes(hashlib.blake2b(b"3\x00" + b"a" * 32, digest_size=8).digest(), "big")
    assert recorder.tables()["shares"].tolist() == [(source_key("web"), number, 9, 5)]
    assert len(QuotaRecorder(0).tables()["shares"]) == 0


BIN = 2**48


@pytest.mark.parametrize(("rows", "quota", "expected"), [
    ([(0, 5), (BIN, 5), (2 * BIN, 5)], 15, []),
    ([(0, 5), (BIN, 5), (2 * BIN, 5)], 14, [2]),
    ([(0, 5), (BIN, 5), (2 * BIN, 5)], 10, [2]),  # the limit falls on the border of two bins
    ([(2 * BIN, 5), (BIN, 5), (0, 5)], 10, [0]),
    ([(7, 5), (6, 5), (5, 5)], 10, [0]),  # all in one bin
    ([(7, 5), (6, 5), (BIN, 1), (5, 5)], 12, [0, 2]),  # nothing is taken from behind the first that does not fit
    ([(2**64 - 2, 5), (2**64 - 3, 5)], 5, [0]),  # the last bin
    ([(0, 5), (1, 5)], 0, [0, 1]),
    ([(0, 100), (1, 5), (2, 5)], 10, [0]),  # larger than the whole quota
    ([(0, 100), (1, 5), (2, 6)], 10, [0, 2]),
    ([(0, 0), (BIN, 10), (2 * BIN, 0), (3 * BIN, 1)], 10, [3]),
])  # fmt: skip
def test_limits_by_hand(tmp_path, rows, quota, expected):
    table = [(1, number, size) for number, size in rows]
    assert fallen(tmp_path, [table], {1: quota}) == (1 if expected else 0, [expected])


def test_sources_are_cut_by_themselves_across_tasks(tmp_path):
    tables = [[(1, 10, 5), (2, 20, 5)], [], [(2, 10, 5), (1, 5, 5), (3, 1, 99)]]
    assert fallen(tmp_path, tables, {1: 5, 2: 5}) == (2, [[0, 1], [], []])


def test_who_fell_before_takes_no_room(tmp_path):
    first = Survey(tmp_path / "first", tmp_path / "ids", 1, 1)
    first.folder.mkdir()
    first.leave(0, np.array([(0, 0, 0, 0, 0, 0)], VERDICT))
    first.judge(Engine(workers=1))
    table = [(1, 1, 5), (1, 2, 5), (1, 3, 5)]
    assert fallen(tmp_path / "second", [table], {1: 10}, (first,)) == (0, [[]])
    assert available(Survey(tmp_path / "second", tmp_path / "ids", 1, 1, (first,))) == {1: 10}
    assert fallen(tmp_path / "alone", [table], {1: 10}) == (1, [[2]])
