from __future__ import annotations

import numpy as np
import pytest

from llmkit.evaluation.calibration import calibration_error, reliability


def test_the_error_by_hand():
    """Bins of 1/15: 0.91 and 0.92 are in one, with one of two right; 0.2 is alone, and wrong."""
    found = calibration_error([0.91, 0.92, 0.2], [1, 0, 0])
    assert found.value == pytest.approx((abs(1 - 0.91 - 0.92) + 0.2) / 3)
    assert not found.higher_is_better
    assert calibration_error([1.0, 0.0], [1, 0]).value == 0  # the outermost are in bins, too


def test_decisions_of_one_sample_are_drawn_together():
    found = calibration_error([0.5, 1.0, 0.25, 1.0], [1, 1, 0, 1], [0, 0, 1, 1], 2)
    assert found.num_samples == 2
    assert found.at(np.array([[1, 0], [0, 2], [1, 1]])).tolist() == pytest.approx([0.25, 0.125, 0.1875])


def test_the_plot_has_a_point_for_each_bin_with_anything_in_it():
    figure = reliability("Reliability", {"answers": ([0.91, 0.92, 0.2], [1, 0, 0])})
    points = figure.lines["answers"]
    assert points.x == pytest.approx((0.2, 0.915))
    assert points.y == (0, 0.5)
    assert points.low[1] < 0.5 < points.high[1]
    assert figure.diagonal
