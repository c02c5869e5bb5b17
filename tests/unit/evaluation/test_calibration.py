"""Calibration error by hand and by its definition, and the figure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.evaluation.calibration import calibration_error, reliability


def test_by_hand():
    # Bins with 0.5: accuracy 0.5; with 0.9: 0.5; each holds half of the answers.
    assert calibration_error([0.5, 0.5, 0.9, 0.9], [1, 0, 1, 0]).value == pytest.approx(0.2)
    assert calibration_error([1.0, 1.0], [1, 1]).value == 0
    assert calibration_error([1.0], [0]).value == 1
    assert not calibration_error([1.0], [0]).higher_is_better


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_by_definition(pairs):
    certain, right = (np.array(column, float) for column in zip(*pairs, strict=True))
    total = 0.0
    for low in range(15):
        chosen = (certain > low / 15) & (certain <= (low + 1) / 15) if low else certain <= 1 / 15
        if chosen.any():
            total += chosen.mean() * abs(certain[chosen].mean() - right[chosen].mean())
    found = calibration_error(certain, right).value
    edges = {round(value * 15, 9) for value in certain}
    if not any(edge == int(edge) for edge in edges):  # where a bin ends, rounding decides
        assert found == pytest.approx(total)
    assert 0 <= found <= 1


def test_the_figure_has_a_point_for_each_bin_that_holds_anything():
    figure = reliability("Sure", {"a": ([0.55, 0.55, 0.95, 0.94], [1, 0, 1, 1])})
    points = figure.lines["a"]
    assert (points.x, points.y) == (pytest.approx([0.55, 0.945]), [0.5, 1.0])
    assert all(low <= y <= high for low, y, high in zip(points.low, points.y, points.high, strict=True))
    assert figure.diagonal
    alone = reliability("Sure", {"a": ([0.3], [1])}).lines["a"]
    assert (alone.low, alone.high) == ([1.0], [1.0])


def test_several_answers_of_a_sample_are_drawn_together():
    several = calibration_error([0.5, 0.9, 0.9], [1, 0, 1], [0, 0, 2], 3)
    assert several.value == pytest.approx(calibration_error([0.5, 0.9, 0.9], [1, 0, 1]).value)
    assert several.num_samples == 3
    assert several.used().tolist() == [True, False, True]
