"""How long a run is, and its learning rate: pure functions of config and step."""

from __future__ import annotations

import math

from llmkit.data.order import Order
from llmkit.training.config import ScheduleConfig, TrainingConfig


def learning_rate(step: int, *, peak: float, total_steps: int, schedule: ScheduleConfig) -> float:
    """Return the learning rate of a step, counted from 0.

    Linear warmup reaches the peak at step `warmup_steps`; then cosine (Loshchilov & Hutter 2017) or a line falls to
    `min_lr_ratio * peak` at the last step.
    """
    warmup = min(schedule.warmup_steps, total_steps // 2)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule.type == "constant":
        return peak
    done = min(1.0, (step - warmup) / max(1, total_steps - 1 - warmup))
    shape = 0.5 * (1 + math.cos(math.pi * done)) if schedule.type == "cosine" else 1 - done
    return peak * (schedule.min_lr_ratio + (1 - schedule.min_lr_ratio) * shape)


def total_steps(config: TrainingConfig, data: Order) -> int:
    """Return the number of steps after which the first of the limits is reached."""
    limits = []
    if config.max_steps is not None:
        limits.append(config.max_steps)
    if config.max_tokens is not None:
        limits.append(math.ceil(config.max_tokens / config.batch_tokens))
    if config.max_epochs is not None:
        most = min(limits) * config.batch_blocks if limits else None
        limits.append(math.ceil(data.blocks_in(config.max_epochs, most) / config.batch_blocks))
    return max(1, min(limits))
