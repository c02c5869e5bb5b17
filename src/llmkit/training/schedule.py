"""The learning rate over a run: a pure function of config and step."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from llmkit.core.config import Config


class ScheduleConfig(Config):
    """The learning rate over the run."""

    type: Literal["cosine", "linear", "wsd", "constant", "inverse_sqrt"] = "cosine"
    """Shape after the warmup. wsd: constant, then down over the last steps (Hu et al. 2024, MiniCPM).
    inverse_sqrt: falls with the root of the step (Vaswani et al. 2017)."""
    warmup_steps: int = Field(100, ge=0)
    """Steps of linear warmup from 0, at most half of the run."""
    warmup_tokens: int | None = Field(None, ge=0)
    """The warmup in tokens, in the place of `warmup_steps`."""
    min_lr_ratio: float = Field(0.1, ge=0, le=1)
    """Final learning rate as a share of the peak (cosine, linear and wsd)."""
    decay_fraction: float = Field(0.2, gt=0, le=1)
    """Share of the run over which wsd falls at its end."""
    decay_shape: Literal["linear", "sqrt"] = "linear"
    """How wsd falls: a line, or 1 - sqrt of the share done, steep at first (Haegele et al. 2024)."""

    @model_validator(mode="after")
    def _one_warmup(self) -> ScheduleConfig:
        if self.warmup_tokens is not None and "warmup_steps" in self.model_fields_set:
            raise ValueError("give warmup_steps or warmup_tokens, not both")
        return self


def lr_factor(step: int, *, total_steps: int, schedule: ScheduleConfig, batch_tokens: int) -> float:
    """Return a step's share of the peak learning rate.

    Linear warmup reaches the peak at the step after it. Cosine (Loshchilov & Hutter 2017), linear and wsd reach
    `min_lr_ratio` at the last step.

    Args:
        step: Counted from 0.
        total_steps: Steps of the whole run.
        schedule: The shape.
        batch_tokens: Tokens per step, for a warmup in tokens.
    """
    warmup = schedule.warmup_steps
    if schedule.warmup_tokens is not None:
        warmup = math.ceil(schedule.warmup_tokens / batch_tokens)
    warmup = min(warmup, total_steps // 2)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if schedule.type == "constant":
        return 1.0
    if schedule.type == "inverse_sqrt":
        return math.sqrt((warmup + 1) / (step + 1))
    begin = warmup
    if schedule.type == "wsd":
        begin = max(warmup, total_steps - 1 - math.ceil(schedule.decay_fraction * total_steps))
    done = min(1.0, max(0, step - begin) / max(1, total_steps - 1 - begin))
    if schedule.type == "cosine":
        shape = 0.5 * (1 + math.cos(math.pi * done))
    elif schedule.type == "wsd" and schedule.decay_shape == "sqrt":
        shape = 1 - math.sqrt(done)
    else:
        shape = 1 - done
    return schedule.min_lr_ratio + (1 - schedule.min_lr_ratio) * shape
