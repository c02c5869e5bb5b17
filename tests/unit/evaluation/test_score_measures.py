"""Scores of samples: their values, whatever the weights, and which samples have a part in them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llmkit.evaluation.measures import MIN_ROUNDS, Whole, clusters_of, exponential, mean, ratio


def test_values_worked_out_by_hand():
    assert mean([1, 0, 1, 1]).value == 0.75
    assert mean([1.0, math.nan, 0.5]).value == 0.75
    assert ratio([2, 4], [3, 9], scale=10).value == 5.0
    assert exponential([-math.log(8), -math.log(2)], [1, 1]).value == pytest.approx(4)
    assert Whole(4, lambda chosen: float(chosen.sum())).value == 6.0


def test_values_of_weights_are_those_of_repeated_samples():
    rng = np.random.default_rng(0)
    above, below = rng.normal(size=20), rng.integers(1, 9, 20)
    weights = rng.integers(0, 4, (5, 20)).astype(float)
    measures = [
        mean(above), ratio(above, below), exponential(above, below),
        Whole(20, lambda chosen: float(np.median(above[chosen]))),
    ]  # fmt: skip
    for row in weights:
        chosen = np.repeat(np.arange(20), row.astype(int))
        expected = [
            above[chosen].mean(), above[chosen].sum() / below[chosen].sum(),
            math.exp(-above[chosen].sum() / below[chosen].sum()), np.median(above[chosen]),
        ]  # fmt: skip
        assert [measure.at(row[None])[0] for measure in measures] == pytest.approx(expected)


def test_a_score_of_nothing_is_no_number():
    assert math.isnan(mean([]).value)
    assert math.isnan(mean([math.nan]).value)
    assert math.isnan(ratio([0], [0]).value)
    assert exponential([-1e6], [1]).value == math.inf, "and no warning"


def test_the_sum_does_not_depend_on_the_order():
    values = [1e16, 1.0, -1e16, 1.0] * 3
    assert mean(values).value == mean(values[::-1]).value == 0.5


def test_samples_without_a_part():
    assert mean([1, math.nan, 0]).used().tolist() == [True, False, True]
    assert ratio([1, 0, 0], [2, 0, 3]).used().tolist() == [True, False, True]


@pytest.mark.parametrize(("values", "top", "hit"), [
    ([1, 0, 1], None, 1.0),
    ([100, 0], None, 100.0),
    ([0, 0], None, 1.0),
    ([0, 0], 100.0, 100.0),
    ([1, 1], None, 1.0),
    ([1, 0.5], None, None),
    ([1, 0], 100.0, None),
    ([2, 0], None, None),
])  # fmt: skip
def test_a_share_is_found_by_its_values(values, top, hit):
    assert mean(values, top=top).hit() == hit


def test_ratios_are_no_shares():
    assert ratio([1, 0], [1, 1]).hit() is None


def test_what_is_computed_anew_each_time_is_so_less_often():
    assert Whole(100, lambda _: 0.0).rounds == 1000
    assert Whole(100, lambda _: 0.0, rounds=50).rounds == 50
    assert Whole(100_000, lambda _: 0.0).rounds == MIN_ROUNDS == 200


def test_clusters_of_samples():
    assert clusters_of([{"id": 1}, {"id": 2, "cluster": None}]) is None
    assert clusters_of([{"cluster": "a"}, {}, {"cluster": "a"}, {"cluster": None}]) == ["a", (1,), "a", (3,)]
