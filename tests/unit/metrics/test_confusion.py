"""Measures of classes, by hand and equal to scikit-learn's with `zero_division=0`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn

from llmkit.metrics._confusion import confusion_of_classes, confusion_of_labels

AVERAGES = ("macro", "micro", "weighted")
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def test_by_hand():
    # a: 3 true, 2 predicted, 2 hits: P 1, R 2/3, F 4/5. b: 1, 2, 1: P 1/2, R 1, F 2/3. c: 1 true, never found: 0.
    # d: predicted once, never true: 0. e: neither, so that the macro mean is over four.
    found = confusion_of_classes([0, 0, 0, 1, 2], [0, 0, 1, 1, 3], num_classes=5)
    assert found.precision.tolist() == pytest.approx([1, 1 / 2, 0, 0, 0])
    assert found.recall.tolist() == pytest.approx([2 / 3, 1, 0, 0, 0])
    assert found.f1.tolist() == pytest.approx([4 / 5, 2 / 3, 0, 0, 0])
    assert found.support.tolist() == [3, 1, 1, 0, 0]
    assert found.counted.tolist() == [True, True, True, True, False]
    assert found.matrix[:3].tolist() == [[2, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    assert found.scores() == pytest.approx({
        "accuracy": 3 / 5,
        "macro_f1": (4 / 5 + 2 / 3) / 4,
        "micro_f1": 3 / 5,
        "weighted_f1": (3 * 4 / 5 + 2 / 3) / 5,
        "majority_accuracy": 3 / 5,
    })  # fmt: skip


def test_no_class_is_wrong_and_predicts_none():
    # 1 is true twice and found once; the other answer is nothing: P 1, R 1/2, F 2/3. Together: P 1/1, R 1/3, F 1/2.
    found = confusion_of_classes([0, 1, 1], [-1, 1, -1], num_classes=2)
    assert (found.accuracy, found.support.tolist(), found.predicted.tolist()) == (1 / 3, [1, 2], [0, 1])
    assert found.f1.tolist() == pytest.approx([0, 2 / 3])
    assert found.mean_f1("micro") == pytest.approx(1 / 2)
    assert found.overall.precision.tolist() == [1]
    assert found.overall.recall.tolist() == pytest.approx([1 / 3])


@given(ROWS, st.integers(5, 7))
def test_classes_equal_scikit_learn(rows, num_classes):
    truth, prediction = map(list, zip(*rows, strict=True))
    found = confusion_of_classes(truth, prediction, num_classes)
    labels = list(range(num_classes))
    expected = sklearn.precision_recall_fscore_support(truth, prediction, labels=labels, zero_division=0)
    for mine, theirs in zip((found.precision, found.recall, found.f1, found.support), expected, strict=True):
        assert mine.tolist() == pytest.approx(theirs.tolist())
    for average in AVERAGES:  # of the labels that occur, which is the default
        theirs = sklearn.f1_score(truth, prediction, average=average, zero_division=0)
        assert found.mean_f1(average) == pytest.approx(theirs)
    assert found.matrix.tolist() == sklearn.confusion_matrix(truth, prediction, labels=labels).tolist()
    assert found.accuracy == pytest.approx(sklearn.accuracy_score(truth, prediction))


@given(st.data(), st.tuples(st.integers(1, 8), st.integers(2, 8)))  # a single column is two classes to scikit-learn
def test_labels_equal_scikit_learn(data, shape):
    truth, prediction = (data.draw(arrays(np.bool_, shape)) for _ in range(2))
    found = confusion_of_labels(truth, prediction)
    expected = sklearn.multilabel_confusion_matrix(truth, prediction)
    assert found.matrix.tolist() == expected.tolist()
    expected = sklearn.precision_recall_fscore_support(truth, prediction, zero_division=0)
    for mine, theirs in zip((found.precision, found.recall, found.f1, found.support), expected, strict=True):
        assert mine.tolist() == pytest.approx(theirs.tolist())
    for average in AVERAGES:
        theirs = sklearn.f1_score(truth, prediction, average=average, zero_division=0)
        assert found.mean_f1(average) == pytest.approx(theirs)
    assert found.accuracy == pytest.approx(sklearn.accuracy_score(truth, prediction))


def test_labels_by_hand():
    truth = [[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0]]
    prediction = [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]]
    found = confusion_of_labels(truth, prediction)
    # Each 4/5 and 2/3, and 0 for the label that never occurs, which counts; together 3 of 3 and 3 of 5.
    assert found.f1.tolist() == pytest.approx([4 / 5, 2 / 3, 0])
    assert found.scores() == pytest.approx({
        "accuracy": 2 / 4,
        "macro_f1": (4 / 5 + 2 / 3) / 3,
        "micro_f1": 3 / 4,
        "weighted_f1": (3 * 4 / 5 + 2 * 2 / 3) / 5,
        "majority_accuracy": 2 / 4,
    })  # fmt: skip
    assert found.matrix[1].tolist() == [[2, 0], [1, 1]]


def test_no_label_anywhere_scores_zero_but_is_accurate():
    found = confusion_of_labels(np.zeros((3, 2)), np.zeros((3, 2)))
    assert found.scores() == {
        "accuracy": 1, "macro_f1": 0, "micro_f1": 0, "weighted_f1": 0, "majority_accuracy": 1,
    }  # fmt: skip


@settings(max_examples=30)
@given(ROWS)
def test_the_majority_is_what_always_the_same_answer_gets_at_best(rows):
    truth = [row[0] for row in rows]
    found = confusion_of_classes(truth, truth, 5)
    assert found.majority == max(confusion_of_classes(truth, [k] * len(truth), 5).accuracy for k in range(5))
    assert found.accuracy == 1


@pytest.mark.parametrize(
    ("truth", "prediction"), [([], []), ([0, 1], [0]), ([[0]], [[0]]), ([2], [0]), ([0], [2]), ([-1], [0]), ([0], [-2])]
)
def test_rows_that_do_not_fit_are_an_error(truth, prediction):
    with pytest.raises(ValueError, match=r"expected rows|classes beyond 0 to 1"):
        confusion_of_classes(np.array(truth, np.int32), np.array(prediction, np.int32), num_classes=2)


def test_logits_are_no_classes():
    with pytest.raises(TypeError, match="safe"):
        confusion_of_classes([0, 1], [0.2, 0.8], num_classes=2)
    with pytest.raises(ValueError, match=r"expected rows of 2 dimension\(s\), got \(2,\)"):
        confusion_of_labels([True, False], [True, False])
