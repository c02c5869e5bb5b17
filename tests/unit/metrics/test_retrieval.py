from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from llmkit.metrics._retrieval import place_scores, places, ranks, retrieval_scores

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


def test_places_of_several_texts_by_hand():
    """To (1, 0) the third text is nearer than the second; the first comes before both."""
    queries = np.array([[1, 0]], np.float32)
    assert places(queries, POOL, [[1, 2]]) == [([3, 2], 0)]
    assert places(queries, POOL, [[0, 1]]) == [([1, 3], 0)]
    assert places(queries, POOL, [[0, 1, 2]]) == [([1, 3, 2], 0)]


def test_a_model_to_which_all_texts_are_the_same_finds_none():
    same = np.ones((4, 1), np.float32)
    assert places(same[:1], same, [[2]]) == [([4], 0)]
    assert places(same[:1], same, [[0, 3]]) == [([3, 4], 1)]


def test_place_scores_by_hand():
    """Ranks 2 and 12: DCG 1 / log2(3) of at best 1 + 1 / log2(3); precisions 1/2 and 2/12."""
    found = place_scores([12, 2], [1, 1], [1, 10, 100])
    assert found == pytest.approx({
        "ndcg_at_10": (1 / np.log2(3)) / (1 + 1 / np.log2(3)), "mrr_at_10": 0.5, "map": (1 / 2 + 2 / 12) / 2,
        "recall_at_1": 0, "recall_at_10": 0.5, "recall_at_100": 1,
    })  # fmt: skip
    assert place_scores([11], [1], [1])["mrr_at_10"] == 0


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30).filter(any), st.randoms(use_true_random=False))
def test_scores_are_those_of_sklearn(gains, random):
    """Of a ranking without ties; its nDCG has linear gains as well."""
    order = list(range(len(gains)))
    random.shuffle(order)
    scores = -np.array(order, float)  # the rank of text i is order[i] + 1
    own = [i for i, gain in enumerate(gains) if gain]
    found = place_scores([order[i] + 1 for i in own], [gains[i] for i in own], [1])
    if len(gains) > 1:
        assert found["ndcg_at_10"] == pytest.approx(ndcg_score([gains], [scores], k=10, ignore_ties=True))
    assert found["map"] == pytest.approx(average_precision_score(np.array(gains) > 0, scores))
    first = min(order[i] + 1 for i in own)
    assert found["mrr_at_10"] == pytest.approx(1 / first if first <= 10 else 0)


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_ranks_of_one_text_are_those_of_training(size, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(2 * size, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries, pool = vectors[:size], vectors[size:]
    own = rng.permutation(size)
    found = places(queries, pool, [[one] for one in own.tolist()])
    assert [ranked[0] for ranked, _ in found] == ranks(queries, pool, own)[0].tolist()
