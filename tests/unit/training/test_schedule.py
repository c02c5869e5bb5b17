from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from llmkit.data.order import Order
from llmkit.training.config import OptimizerConfig, ScheduleConfig, TrainingConfig
from llmkit.training.optim import build_optimizer
from llmkit.training.schedule import learning_rate, total_steps
from tiny import model, stream


def rates(total, **schedule):
    config = ScheduleConfig(**schedule)
    return [learning_rate(step, peak=8.0, total_steps=total, schedule=config) for step in range(total)]


def test_linear_by_hand():
    # 2 warmup steps climb towards the peak of step 2; then 8 falls to 2 over the four steps that are left.
    expected = [8 / 3, 16 / 3, 8, 6.5, 5, 3.5, 2]
    assert rates(7, type="linear", warmup_steps=2, min_lr_ratio=0.25) == pytest.approx(expected)


def test_cosine_by_hand():
    # 1 + cos over 0, 60, 120 and 180 degrees is 2, 3/2, 1/2 and 0.
    expected = [4, 8, 0.8 + 7.2 * 0.75, 0.8 + 7.2 * 0.25, 0.8]
    assert rates(5, type="cosine", warmup_steps=1, min_lr_ratio=0.1) == pytest.approx(expected)


def test_constant_by_hand():
    assert rates(6, type="constant", warmup_steps=3) == pytest.approx([2, 4, 6, 8, 8, 8])


def test_warmup_takes_at_most_half_of_the_run():
    assert rates(4, type="constant", warmup_steps=100) == pytest.approx([8 / 3, 16 / 3, 8, 8])


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_runs_of_one_and_two_steps(kind):
    assert rates(1, type=kind, warmup_steps=0) == [8]
    assert rates(2, type=kind, warmup_steps=5) == pytest.approx([4, 8])


@given(
    total=st.integers(1, 200),
    warmup=st.integers(0, 250),
    kind=st.sampled_from(["cosine", "linear", "constant"]),
    floor=st.floats(0, 1),
)
def test_it_rises_to_the_peak_once_and_never_rises_again(total, warmup, kind, floor):
    values = rates(total, type=kind, warmup_steps=warmup, min_lr_ratio=floor)
    top = min(warmup, total // 2)
    assert values[top] == 8.0
    assert all(0 < rate <= 8 + 1e-9 for rate in values) or floor == 0
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)
    if kind != "constant" and top < total - 1:
        assert values[-1] == pytest.approx(8 * floor)


def steps(**limits):
    config = TrainingConfig(context_length=16, batch_tokens=64, **limits)
    return total_steps(config, Order(stream()))


def test_the_first_limit_reached_holds():
    num_blocks = stream().num_blocks(0)
    an_epoch = -(-num_blocks // 4)
    assert steps(max_steps=7) == 7
    assert steps(max_tokens=65) == 2  # a step of 64 is not enough
    assert steps(max_tokens=64) == 1
    assert steps(max_epochs=1) == an_epoch
    assert steps(max_epochs=2.5) == -(-(2 * num_blocks + -(-num_blocks // 2)) // 4)
    assert steps(max_steps=3, max_tokens=64 * 5, max_epochs=9) == 3
    assert steps(max_steps=9, max_tokens=64 * 5, max_epochs=0.01) == 1


def test_matrices_are_decayed_and_vectors_are_not():
    mixed = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2, bias=False))
    mixed[3].weight.requires_grad_(requires_grad=False)
    config = OptimizerConfig(lr=0.5, betas=[0.8, 0.9], eps=1e-6, weight_decay=0.3)
    decayed, others = build_optimizer(mixed, config).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(5, 4), (3, 4)]
    assert [tuple(p.shape) for p in others["params"]] == [(3,), (3,), (3,)]
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0)
    for group in (decayed, others):
        assert (group["lr"], tuple(group["betas"]), group["eps"]) == (0.5, (0.8, 0.9), 1e-6)


def test_tied_weights_are_decayed_once():
    tied = model()
    groups = build_optimizer(tied, OptimizerConfig()).param_groups
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids)) == len(list(tied.parameters()))


def test_one_step_by_hand():
    # AdamW's first step is lr * sign(gradient), after decay has taken lr * weight_decay of the weight.
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, 1.0)
    optimizer = build_optimizer(layer, OptimizerConfig(lr=0.1, weight_decay=0.5))
    (layer(torch.tensor([[3.0]])) * 4).sum().backward()
    optimizer.step()
    assert layer.weight.item() == pytest.approx(2 * (1 - 0.05) - 0.1)
    assert layer.bias.item() == pytest.approx(1 - 0.1)
