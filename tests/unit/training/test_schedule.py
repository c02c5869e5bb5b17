from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llmkit.training.schedule import ScheduleConfig, lr_factor

TYPES = ["cosine", "linear", "wsd", "constant", "inverse_sqrt"]


def factors(total, batch_tokens=64, **schedule):
    config = ScheduleConfig(**schedule)
    return [lr_factor(i, total_steps=total, schedule=config, batch_tokens=batch_tokens) for i in range(total)]


def test_linear_by_hand():
    # 2 warmup steps climb towards the peak of step 2; then 1 falls to 1/4 over the four steps that are left.
    expected = [1 / 3, 2 / 3, 1, 0.8125, 0.625, 0.4375, 0.25]
    assert factors(7, type="linear", warmup_steps=2, min_lr_ratio=0.25) == pytest.approx(expected)


def test_cosine_by_hand():
    # 1 + cos over 0, 60, 120 and 180 degrees is 2, 3/2, 1/2 and 0.
    expected = [0.5, 1, 0.1 + 0.9 * 0.75, 0.1 + 0.9 * 0.25, 0.1]
    assert factors(5, type="cosine", warmup_steps=1, min_lr_ratio=0.1) == pytest.approx(expected)


def test_wsd_by_hand():
    # 12 steps, of which a third falls: step 7 is the last at the peak, steps 8 to 11 go down to 0.2 by equal amounts.
    expected = [1 / 3, 2 / 3, *[1] * 6, 0.8, 0.6, 0.4, 0.2]
    found = factors(12, type="wsd", warmup_steps=2, min_lr_ratio=0.2, decay_fraction=1 / 3)
    assert found == pytest.approx(expected)


def test_wsd_down_a_root_by_hand():
    # Shares 1/4, 2/4, 3/4 and 1 of the fall are done: 1 - sqrt of them, and a floor of 0.2 below the other 0.8.
    found = factors(12, type="wsd", warmup_steps=2, min_lr_ratio=0.2, decay_fraction=1 / 3, decay_shape="sqrt")
    assert found[2:] == pytest.approx([*[1] * 6, 0.6, 1 - 0.8 * 0.5**0.5, 1 - 0.8 * 0.75**0.5, 0.2])


def test_wsd_whose_decay_and_warmup_would_overlap():
    expected = [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0]
    assert factors(6, type="wsd", warmup_steps=2, min_lr_ratio=0, decay_fraction=1) == pytest.approx(expected)


def test_inverse_sqrt_by_hand():
    # Warmup to the peak of step 3, the fourth; four times as many steps are half of it, nine times a third.
    found = factors(36, type="inverse_sqrt", warmup_steps=3)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert (found[15], found[35]) == pytest.approx((1 / 2, 1 / 3))


def test_constant_by_hand():
    assert factors(6, type="constant", warmup_steps=3) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


@pytest.mark.parametrize(("tokens", "steps"), [(0, 0), (1, 1), (64, 1), (65, 2), (192, 3)])
def test_a_warmup_in_tokens_is_so_many_steps_rounded_up(tokens, steps):
    expected = factors(8, type="cosine", warmup_steps=steps)
    assert factors(8, type="cosine", warmup_tokens=tokens) == expected
    assert expected.index(1.0) == steps


def test_warmup_in_steps_and_in_tokens_is_refused():
    with pytest.raises(ValidationError, match="give warmup_steps or warmup_tokens, not both"):
        ScheduleConfig(warmup_steps=3, warmup_tokens=64)


@pytest.mark.parametrize("warmup", [{"warmup_steps": 100}, {"warmup_tokens": 6400}])
def test_warmup_takes_at_most_half_of_the_run(warmup):
    assert factors(4, type="constant", **warmup) == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert factors(5, type="linear", min_lr_ratio=0, **warmup) == pytest.approx([1 / 3, 2 / 3, 1, 1 / 2, 0])


@pytest.mark.parametrize("kind", TYPES)
def test_runs_of_one_and_two_steps(kind):
    assert factors(1, type=kind, warmup_steps=0) == [1]
    assert factors(2, type=kind, warmup_steps=5) == pytest.approx([1 / 2, 1])


@pytest.mark.parametrize("kind", ["cosine", "linear", "wsd"])
def test_steps_beyond_the_end_stay_at_the_floor(kind):
    # Where only time limits a run, the number of its steps is an estimate that may turn out too low.
    schedule = ScheduleConfig(type=kind, warmup_steps=1, min_lr_ratio=0.3)
    beyond = [lr_factor(step, total_steps=5, schedule=schedule, batch_tokens=8) for step in (4, 5, 99)]
    assert beyond == pytest.approx([0.3] * 3)


@given(
    total=st.integers(1, 200),
    warmup=st.integers(0, 250),
    kind=st.sampled_from(TYPES),
    floor=st.floats(0, 1),
    decay=st.floats(0.01, 1),
)
def test_it_rises_to_the_peak_once_and_never_rises_again(total, warmup, kind, floor, decay):
    values = factors(total, type=kind, warmup_steps=warmup, min_lr_ratio=floor, decay_fraction=decay)
    top = min(warmup, total // 2)
    assert values[top] == 1.0
    assert all(0 < rate <= 1 + 1e-9 for rate in values) or floor < 1e-9
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)
    if kind in ("cosine", "linear", "wsd") and top < total - 1:
        assert values[-1] == pytest.approx(floor, abs=1e-12)
    if kind == "wsd":
        falling = sum(one != 1.0 for one in values[top:])
        assert falling <= math.ceil(decay * total)
