"""How prompts share what is computed between two steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.runtimes._places import shares


@pytest.mark.parametrize(("left", "now"), [
    ([100], [64]),
    ([10], [10]),
    ([100, 10, 50, 20], [34, 10, 0, 20]),  # half of 64 for the first, 30 for those that fit, 2 over
    ([10, 100], [10, 54]),  # nobody else is there for the rest
    ([40, 40], [40, 24]),
    ([16, 16, 16, 16, 16], [16, 16, 16, 16, 0]),
])  # fmt: skip
def test_a_short_prompt_does_not_wait_for_the_end_of_a_long_one(left, now):
    assert shares(left, 64) == now


@given(st.lists(st.integers(1, 500), min_size=1, max_size=8), st.integers(1, 300))
def test_no_more_than_the_budget_and_nothing_is_left_lying(left, budget):
    found = shares(left, budget)
    assert all(0 <= one <= size for one, size in zip(found, left, strict=True))
    assert sum(found) == min(sum(left), budget)
    assert found[0] >= min(left[0], budget / 2)
