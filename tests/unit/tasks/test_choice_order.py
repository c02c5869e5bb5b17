"""Shuffled choices, and the test of whether right answers stand unevenly."""

from __future__ import annotations

from random import Random

import pytest
from scipy.stats import binomtest, chisquare

from llmkit.tasks._choice_order import bias_words, order_of, place_bias


def test_an_order_is_a_permutation_that_goes_by_the_row_alone():
    rows = [{"question": f"{i}?", "choices": ["a", "b", "c", "d"]} for i in range(400)]
    orders = [order_of(row, 4) for row in rows]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert orders == [order_of(dict(reversed(row.items())), 4) for row in rows]
    assert chisquare([sum(order[0] == place for order in orders) for place in range(4)]).pvalue > 1e-3


def test_two_choices_are_tested_exactly():
    places = [(0, 2)] * 8 + [(1, 2)] * 2
    assert place_bias(places) == pytest.approx(binomtest(8, 10).pvalue)


def test_more_choices_are_tested_by_chi_square():
    places = [(0, 4)] * 20 + [(1, 4)] * 10 + [(2, 4)] * 6 + [(3, 4)] * 4
    assert place_bias(places) == pytest.approx(chisquare([20, 10, 6, 4]).pvalue)
    assert place_bias([]) == 1.0


def test_rows_of_different_sizes_are_expected_evenly_in_each():
    draw = Random(0)
    places = [(draw.randrange(size), size) for size in (2, 3, 4, 5) * 200]
    assert place_bias(places) > 1e-3
    assert bias_words(places) == ""


def test_a_key_that_stands_still_is_said():
    assert bias_words([(0, 4)] * 30) == "the right answer stands at place 1 in 100% of the rows (p = 2e-19)"
    assert bias_words([(1, 2)] * 5) == ""  # one in sixteen sets of five is like that
