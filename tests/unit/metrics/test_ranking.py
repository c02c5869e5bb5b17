"""Scores by order: those of scikit-learn and SciPy on the same samples, repeated as often as they count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from llmkit.metrics._ranking import (
    Order,
    area,
    average_precision,
    best_cut,
    correlation,
    place_of_cut,
    rank_correlation,
)

NUMBERS = st.one_of(st.integers(-3, 3).map(float), st.floats(-5, 5, width=32))  # ties and none
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, st.booleans(), st.integers(0, 3)), min_size=1, max_size=25)


def columns(rows):
    a, b, positive, weights = zip(*rows, strict=True)
    return np.array(a), np.array(b), np.array(positive, bool), np.array([weights], np.int64)


@given(ROWS)
def test_area_and_average_precision_are_those_of_sklearn(rows):
    scores, _, positive, weights = columns(rows)
    truth, again = np.repeat(positive, weights[0]), np.repeat(scores, weights[0])
    (found,) = area(Order(scores), positive, weights)
    if len(set(truth)) == 2:
        assert found == pytest.approx(roc_auc_score(truth, again))
    else:
        assert np.isnan(found)
    (found,) = average_precision(Order(-scores), positive, weights)
    if truth.any():
        assert found == pytest.approx(average_precision_score(truth, again))
    else:
        assert np.isnan(found)


@given(ROWS)
def test_correlations_are_those_of_scipy_and_0_of_what_is_always_the_same(rows):
    a, b, _, weights = columns(rows)
    left, right = np.repeat(a, weights[0]), np.repeat(b, weights[0])
    pearson, spearman = correlation(a, b, weights)[0], rank_correlation(Order(a), Order(b), weights)[0]
    if not left.size:
        assert np.isnan(pearson)
        assert np.isnan(spearman)
    elif len({*left}) == 1 or len({*right}) == 1:
        assert (pearson, spearman) == (0, 0)
    else:
        assert spearman == pytest.approx(spearmanr(left, right).statistic, abs=1e-9)
        if min(np.ptp(left) / np.abs(left).max(), np.ptp(right) / np.abs(right).max()) > 1e-6:
            assert pearson == pytest.approx(pearsonr(left, right).statistic, abs=1e-6)


@given(ROWS)
def test_the_best_threshold_is_the_best_of_all(rows):
    numbers, _, positive, weights = columns(rows)
    gains = np.where(positive, 1.0, -1.0)
    (found,) = best_cut(Order(numbers), ~positive * 1.0, gains, weights)
    levels = [-np.inf, *numbers]
    total = weights.sum()
    right = [((numbers <= level) == positive) @ weights[0] / total for level in levels] if total else [np.nan]
    assert found == pytest.approx(max(right), nan_ok=True)
    place = place_of_cut(Order(numbers), gains)
    best = max(((numbers <= level) == positive).mean() for level in levels)
    assert ((numbers <= place) == positive).mean() == best


def test_many_rounds_at_once_are_those_one_by_one():
    rng = np.random.default_rng(0)
    a, b, positive = rng.integers(0, 9, 40).astype(float), rng.normal(size=40), rng.random(40) < 0.3
    weights = rng.multinomial(40, np.full(40, 1 / 40), size=7)
    for score in (
        lambda w: area(Order(a), positive, w), lambda w: average_precision(Order(-a), positive, w),
        lambda w: rank_correlation(Order(a), Order(b), w), lambda w: correlation(a, b, w),
        lambda w: best_cut(Order(a), ~positive * 1.0, np.where(positive, 1.0, -1.0), w),
    ):  # fmt: skip
        assert score(weights).tolist() == pytest.approx([score(row[None])[0] for row in weights])


def test_area_by_hand():
    """Of 2 x 3 pairs the positive one is above in 4 and as high in 1."""
    scores, positive = np.array([3, 1, 3, 0, 0.5]), np.array([True, True, False, False, False])
    assert area(Order(scores), positive, np.ones((1, 5), np.int64)) == pytest.approx([4.5 / 6])
