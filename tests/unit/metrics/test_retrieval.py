from __future__ import annotations

import numpy as np
import pytest

from llmkit.metrics._retrieval import ranks, retrieval_scores

POOL = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)


def test_ranks_by_hand():
    """(1, 0) has the cosines 1, 0, 0.6; (0, 1): 0, 1, 0.8."""
    queries = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    found, nearest = ranks(queries, POOL, np.array([0, 2, 1]))
    assert found.tolist() == [1, 2, 3]
    assert nearest.tolist() == [2, 1, 0]


def test_what_belongs_as_well_counts_neither_for_nor_against():
    found, nearest = ranks(POOL[:1], POOL, np.array([1]), {0: [0, 1]})
    assert found.tolist() == [2]
    assert nearest.tolist() == [2]


def test_a_text_that_is_just_as_near_does_not_come_before():
    pool = np.array([[1, 0], [1, 0]], np.float32)
    found, nearest = ranks(pool[:1], pool, np.array([1]))
    assert (found.tolist(), nearest.tolist()) == ([1], [0])


def test_scores_by_hand():
    """1, 2, 4, 20: a quarter at 1, three quarters within 10, (1 + 1/2 + 1/4 + 1/20) / 4."""
    found = retrieval_scores(np.array([1, 2, 4, 20]))
    assert found == pytest.approx({"recall_at_1": 0.25, "recall_at_10": 0.75, "mrr": 0.45})
