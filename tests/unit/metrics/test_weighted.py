"""F1 of classes, MCC, areas and R2: those of scikit-learn, of all samples and of resamples."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef, precision_score, r2_score, recall_score, roc_auc_score
from sklearn.preprocessing import MultiLabelBinarizer

from llmkit.evaluation.estimates import estimate
from llmkit.metrics._weighted import Decisions, area, best_accuracy, explained, pearson, spearman

CLASSES = 4
SINGLE = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1), st.integers(0, 2)),
                  min_size=1, max_size=20)  # fmt: skip
SETS = st.sets(st.integers(0, CLASSES - 1))
SEVERAL = st.lists(st.tuples(SETS, SETS), min_size=1, max_size=12)


def decided(truth, prediction):
    return Decisions.of_sets([[one] for one in truth], [[one] for one in prediction], CLASSES)


@given(SINGLE)
def test_f1_and_mcc_of_one_class_a_sample_are_those_of_sklearn(rows):
    truth, prediction, weights = map(np.array, zip(*rows, strict=True))
    found = decided(truth, prediction)
    true, said = np.repeat(truth, weights), np.repeat(prediction, weights)
    if not true.size:
        return
    for average in ("macro", "micro", "weighted"):
        expected = f1_score(true, said, average=average, zero_division=0)
        assert found.f1(average).at(weights[None])[0] == pytest.approx(expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one class alone
        expected = matthews_corrcoef(true, said)
    assert found.mcc().at(weights[None])[0] == pytest.approx(expected)


@given(SEVERAL)
def test_f1_of_several_classes_a_sample_is_that_of_sklearn(rows):
    truth, prediction = ([sorted(row[side]) for row in rows] for side in (0, 1))
    found = Decisions.of_sets(truth, prediction, CLASSES)
    binary = MultiLabelBinarizer(classes=range(CLASSES))
    true, said = binary.fit_transform(truth), binary.fit_transform(prediction)
    for average in ("macro", "micro", "weighted"):
        over = CLASSES if average == "macro" else None
        expected = f1_score(true, said, average=average, zero_division=0)
        assert found.f1(average, over=over).value == pytest.approx(expected)
    assert found.precision().value == pytest.approx(precision_score(true, said, average="micro", zero_division=0))
    assert found.recall().value == pytest.approx(recall_score(true, said, average="micro", zero_division=0))


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(st.floats(-4, 4, width=16), min_size=3, max_size=3)),
                min_size=3, max_size=20))  # fmt: skip
def test_area_of_one_against_the_rest_is_that_of_sklearn(rows):
    truth, logits = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    if len({*truth}) < 3:
        return
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = roc_auc_score(truth, shares, multi_class="ovr", average="macro")
    assert area(shares, truth[:, None] == np.arange(3)).value == pytest.approx(expected)


def test_area_leaves_out_classes_that_tell_nothing_and_rows_that_do_not_count():
    scores = np.array([[1.0, 0, 0], [0, 1, 0], [0.5, 0.4, 0], [9, 9, 9]])
    positive = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    found = area(scores, positive, np.array([True, True, True, False]))
    assert found.value == 1.0  # of classes 0 and 1; no row is of class 2
    assert found.used().tolist() == [True, True, True, False]
    assert estimate(found).n == 3


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=15))
def test_r2_is_that_of_sklearn(rows):
    truth, found = (np.array(side, float) for side in zip(*rows, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert explained(truth, found).value == pytest.approx(r2_score(truth, found))


def test_intervals_of_what_is_no_sum():
    """They hold the value, and are narrower of more samples."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=400)
    found = truth + rng.normal(size=400)
    for score in (pearson, spearman, lambda a, b: best_accuracy(b, a > 0)):
        few, many = estimate(score(truth[:50], found[:50])), estimate(score(truth, found))
        value = score(truth, found).value
        assert many.low < value < many.high
        assert many.high - many.low < few.high - few.low
        assert (many.method, many.rounds) == ("bootstrap", 1000)


def test_a_single_class_has_no_mcc_and_one_sample_no_interval():
    found = decided([1, 1], [1, 1])
    assert (found.mcc().value, found.f1("macro").value) == (0.0, 1.0)
    assert estimate(decided([1], [0]).f1("macro")).low is None
