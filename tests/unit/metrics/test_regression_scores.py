"""Measures of numbers, by hand and equal to scikit-learn's and SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn

from llmkit.metrics._regression import regression_scores

NUMBERS = st.integers(-40, 40).map(lambda number: number / 8)  # many ties
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=30)


def test_by_hand():
    # Errors 1, 0, -1, 2: MSE 6/4, MAE 1. The truth's deviations from 5/2 squared are 5 in all: R2 = 1 - 6/5.
    # Deviations -1.5 -.5 .5 1.5 and -2 -1 -1 3 (from 4 minus): products 3 + .5 - .5 + 4.5 = 7.5, norms 5 and 14.75.
    scores = regression_scores([1, 2, 3, 4], [2, 2, 2, 6])
    assert scores["mse"] == 6 / 4
    assert scores["mae"] == 1
    assert scores["r2"] == pytest.approx(1 - 6 / 5)
    # Prediction's mean 3: deviations -1 -1 -1 3, products 1.5 + .5 - .5 + 4.5 = 6, squares 12.
    assert scores["pearson"] == pytest.approx(6 / np.sqrt(5 * 12))
    # Ranks 2 2 2 4 (three share 1 to 3): the same deviations in other units, -.5 -.5 -.5 1.5.
    assert scores["spearman"] == pytest.approx(6 / np.sqrt(5 * 12))


@given(PAIRS)
def test_equals_scikit_learn_and_scipy(pairs):
    truth, prediction = map(np.array, zip(*pairs, strict=True))
    scores = regression_scores(truth, prediction)
    assert scores["mse"] == pytest.approx(sklearn.mean_squared_error(truth, prediction))
    assert scores["mae"] == pytest.approx(sklearn.mean_absolute_error(truth, prediction))
    assert scores["r2"] == pytest.approx(sklearn.r2_score(truth, prediction))
    if len(set(truth)) > 1 and len(set(prediction)) > 1:
        assert scores["pearson"] == pytest.approx(stats.pearsonr(truth, prediction).statistic, abs=1e-9)
        assert scores["spearman"] == pytest.approx(stats.spearmanr(truth, prediction).statistic, abs=1e-9)
    else:
        assert scores["pearson"] == scores["spearman"] == 0


def test_order_is_all_that_spearman_sees():
    scores = regression_scores([1, 2, 3, 4], [1, 10, 100, 1000])
    assert scores["spearman"] == pytest.approx(1)
    assert scores["pearson"] < 0.9


@pytest.mark.parametrize(
    ("truth", "prediction", "r2"),
    [
        ([0.1] * 3, [0.1] * 3, 1),
        ([0.5] * 3, [0.5, 0.5, 0.7], 0),
        ([5], [5], 1),
        ([5], [4], 0),
        ([1, 2], [0.1, 0.1], 1 - (0.9**2 + 1.9**2) / 0.5),
    ],
)
def test_what_has_no_answer(truth, prediction, r2):
    scores = regression_scores(truth, prediction)
    assert scores["r2"] == pytest.approx(r2)
    assert len(truth) == 1 or scores["r2"] == pytest.approx(sklearn.r2_score(truth, prediction))
    assert scores["pearson"] == scores["spearman"] == 0


def test_a_mean_that_is_rounded_does_not_make_equal_numbers_differ():
    assert np.mean([0.1] * 3) != 0.1
    scores = regression_scores([0.1] * 3, [0.1, 0.1, 0.2])
    assert (scores["r2"], scores["pearson"], scores["spearman"]) == (0, 0, 0)
    assert regression_scores([1, 2, 3], [0.1] * 3)["pearson"] == 0


@pytest.mark.parametrize(("truth", "prediction"), [([], []), ([1], [1, 2]), ([[1]], [[1]])])
def test_rows_that_do_not_fit_are_an_error(truth, prediction):
    with pytest.raises(ValueError, match="expected as many numbers of both"):
        regression_scores(truth, prediction)
