from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from llmkit.data.feeds import Feed
from llmkit.data.order import Order
from llmkit.training.budget import Budget
from llmkit.training.config import TrainingConfig
from llmkit.training.snapshot import TrainState
from tiny import stream


def budget(**limits):
    """Steps of 4 blocks of 16 tokens."""
    return Budget(TrainingConfig(context_length=16, batch_tokens=64, **limits), job(Order(stream())))


def job(data):
    return SimpleNamespace(feed=Feed(data), batch_blocks=4, batch_tokens=64)


def reached(step, worse=0):
    return TrainState(step, step * 64, 0.0, {}, worse=worse)


def test_the_first_limit_reached_holds():
    num_blocks = stream().num_blocks(0)
    an_epoch = -(-num_blocks // 4)
    assert budget(max_steps=7).max_steps == 7
    assert budget(max_tokens=65).max_steps == 2  # a step of 64 is not enough
    assert budget(max_tokens=64).max_steps == 1
    assert budget(max_tokens=1).max_steps == 1
    assert budget(max_epochs=1).max_steps == an_epoch
    assert budget(max_epochs=2.5).max_steps == -(-(2 * num_blocks + -(-num_blocks // 2)) // 4)
    assert budget(max_steps=3, max_tokens=64 * 5, max_epochs=9).max_steps == 3
    assert budget(max_steps=9, max_tokens=64 * 5, max_epochs=9).max_steps == 5
    assert budget(max_steps=9, max_tokens=64 * 5, max_epochs=0.01).max_steps == 1
    assert budget(max_minutes=1).max_steps is None


def test_many_epochs_are_not_counted_beyond_the_other_limits():
    data = Order(stream())
    asked = []
    num_blocks = data.packer.num_blocks
    data.packer.num_blocks = lambda epoch: asked.append(epoch) or num_blocks(epoch)
    config = TrainingConfig(context_length=16, batch_tokens=64, max_steps=5, max_epochs=1e6)
    assert Budget(config, job(data)).max_steps == 5
    assert len(asked) < 5


def test_a_run_without_any_limit_is_refused():
    with pytest.raises(ValidationError, match="one of max_steps, max_tokens, max_epochs and max_minutes is required"):
        budget(patience=3)


def test_the_end_by_steps():
    limit = budget(max_steps=1200)
    assert limit.end(reached(1199), 1e9) == ""
    assert limit.end(reached(1200), 0.0) == "1,200 steps"
    assert limit.end(reached(1300), 0.0) == "1,300 steps"


def test_the_end_by_minutes():
    limit = budget(max_minutes=1.5)
    assert limit.end(reached(10**9), 89.9) == ""
    assert limit.end(reached(0), 90.0) == "1.5 minutes"
    both = budget(max_minutes=1.5, max_steps=5)
    assert both.end(reached(5), 100.0) == "5 steps"
    assert both.end(reached(4), 100.0) == "1.5 minutes"


def test_the_end_by_patience():
    limit = budget(max_steps=9, patience=3)
    assert limit.end(reached(4, worse=2), 0.0) == ""
    assert limit.end(reached(4, worse=3), 0.0) == "no better validation loss 3 times in a row"
    assert budget(max_steps=9).end(reached(4, worse=99), 0.0) == ""


def test_whether_the_next_validation_may_be_the_last():
    limit = budget(max_steps=9, patience=3)
    assert [limit.may_end(reached(4, worse=worse)) for worse in range(4)] == [False, False, True, True]
    assert budget(max_steps=9, patience=1).may_end(reached(0))
    assert not budget(max_steps=9).may_end(reached(4, worse=99))


def test_the_steps_of_a_run_that_time_limits_are_those_of_its_pace():
    limit = budget(max_minutes=1)
    assert limit.total_steps(10, 20.0) == 30  # resumed: 2 s a step so far, 60 s
    assert limit.total_steps(20, 30.0) == 50  # 1 s a step since then
    assert limit.total_steps(49, 59.9) == 50  # the step that will be the last
    assert limit.total_steps(60, 61.0) == 61  # never fewer than there will be
    assert limit.total_steps(0, 0.0) == 10**6  # nothing is known yet
    both = budget(max_minutes=1, max_steps=20)
    assert both.total_steps(10, 20.0) == 20
    assert both.total_steps(10, 50.0) == 12
    assert both.total_steps(0, 0.0) == 20
    assert budget(max_steps=20).total_steps(3, 50.0) == 20
