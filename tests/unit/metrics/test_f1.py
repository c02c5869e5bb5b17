from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import f1_score

from llmkit.core.errors import DataError
from llmkit.metrics.accuracy import Accuracy
from llmkit.metrics.f1 import F1

TRUE = ["a", "a", "a", "b", "c"]
FOUND = ["a", "a", "b", "b", "no idea"]
AVERAGES = ("macro", "micro", "weighted")


def compute(predictions, references, **fields):
    return F1(**fields).load().compute(predictions=predictions, references=references)


def test_by_hand():
    # a: P 1, R 2/3, F 4/5; b: P 1/2, R 1, F 2/3; c: never found, 0. Together 3 of 4 predicted labels, 3 of 5 true ones.
    assert compute(FOUND, TRUE) == pytest.approx({"macro_f1": 100 * (4 / 5 + 2 / 3) / 3})
    assert compute(FOUND, TRUE, average="micro") == pytest.approx({"micro_f1": 100 * 6 / 9})
    assert compute(FOUND, TRUE, average="weighted") == pytest.approx({"weighted_f1": 100 * (12 / 5 + 2 / 3) / 5})


@pytest.mark.parametrize(
    ("predictions", "references", "fields", "score"),
    [
        ([" yes\n", "no"], ["yes", "no"], {}, 100),
        (["Yes", "no"], ["yes", "no"], {}, 50),
        (["Yes", "no"], ["yes", "no"], {"ignore_case": True}, 100),
        (["b", "x"], [["a", "b"], ["a", "b"]], {}, 50),  # b is found; of the other row the first counts: a is missed
        (["x"], ["y"], {}, 0),
        (["好", "坏"], ["好", "坏"], {}, 100),
    ],
)
def test_labels(predictions, references, fields, score):
    assert compute(predictions, references, **fields) == {"macro_f1": pytest.approx(score)}


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=20))
def test_equals_scikit_learn_with_the_labels_of_the_references(pairs):
    true, found = map(list, zip(*pairs, strict=True))
    for average in AVERAGES:
        expected = f1_score(true, found, labels=sorted(set(true)), average=average, zero_division=0)
        score = F1(average=average)._score(found, [[label] for label in true])
        assert score == {f"{average}_f1": pytest.approx(100 * expected)}


def test_averages_stand_beside_each_other():
    import evaluate

    metrics = evaluate.combine([Accuracy().load(), *(F1(average=average).load() for average in AVERAGES)])
    scores = metrics.compute(predictions=FOUND, references=TRUE)
    assert sorted(scores) == ["accuracy", "macro_f1", "micro_f1", "weighted_f1"]


def test_no_pairs_is_a_data_error():
    with pytest.raises(DataError, match="metric 'macro_f1': there are no predictions to score"):
        F1().load().compute()


def test_fields_are_checked():
    with pytest.raises(ValidationError):
        F1(average="samples")


def test_measures_of_labels_import_nothing_heavy():
    code = """
import sys
from llmkit.core.registry import Family
for member in ("accuracy", "f1"):
    Family("metric").parse(member)
import llmkit.metrics._entities
import llmkit.metrics._regression
print(sorted({"evaluate", "datasets", "torch", "sklearn", "scipy", "seqeval"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
