"""How a model stops: shares and n-grams counted by hand."""

from __future__ import annotations

import pytest

from llmkit.metrics.stopping import Stopping


def test_repetition_by_hand():
    metric = Stopping(order=2)
    assert metric.repetition("a b a b") == pytest.approx(100 / 3)  # ab, ba, ab
    assert metric.repetition("a a a a a") == 75
    assert metric.repetition("今天今天") == pytest.approx(100 / 3)
    assert metric.repetition("a") == metric.repetition("") == 0
    assert Stopping().repetition("one two three four") == 0


def test_from_python_there_is_repetition_alone():
    scores = Stopping(order=1).load().compute(predictions=["a a", "b"], references=["", ""])
    assert scores == {"repetition": 25.0}


def test_of_samples_it_also_says_what_ended_and_how_long_it_was():
    samples = [
        {"prediction": "a", "truncated": True, "tokens": 4},
        {"prediction": "a b", "truncated": False, "tokens": 1},
    ]
    found = {name: measure.value for name, measure in Stopping().measures_of(samples).items()}
    assert found == {"ended": 50.0, "repetition": 0.0, "tokens": 2.5}
    for sample in samples:
        del sample["tokens"]  # a server may not say
    assert list(Stopping().measures_of(samples)) == ["ended", "repetition"]
    assert not Stopping().measures_of(samples)["repetition"].higher_is_better


def test_an_interval_of_shares_stays_within_them():
    from llmkit.evaluation.estimates import estimate

    rows = ["a b c d"] * 30 + ["a b a b a b a b"]
    found = estimate(Stopping().measures(rows, [""] * len(rows))["repetition"])
    assert found.low == 0  # of 30 zeros and a 60: mean and standard error are 60 / 31, and t of 30 is 2.0423
    assert found.high == pytest.approx(60 / 31 * (1 + 2.0423), rel=1e-4)
