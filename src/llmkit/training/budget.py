"""How far a training goes: steps, tokens, epochs, minutes or patience, whichever ends it first."""

from __future__ import annotations

import math
from typing import Protocol

from llmkit.data.feeds import Feed
from llmkit.training.config import TrainingConfig
from llmkit.training.snapshot import TrainState


class Work(Protocol):
    """What is asked of a job, or of one that is only planned."""

    @property
    def feed(self) -> Feed:
        """The data."""

    @property
    def batch_blocks(self) -> int:
        """Blocks per optimizer step."""

    @property
    def batch_tokens(self) -> int:
        """Tokens per optimizer step."""


class Budget:
    """The end of a run.

    Attributes:
        max_steps: Steps after which the first of the limits that can be counted is reached; None if only time limits.

    Args:
        config: The training's config.
        job: The data, and how much of it makes a step.
    """

    def __init__(self, config: TrainingConfig, job: Work) -> None:
        self._max_s = None if config.max_minutes is None else 60 * config.max_minutes
        self._patience, self._measure = config.patience, config.keep_best or "validation loss"
        limits: dict[str, int] = {}
        if config.max_steps is not None:
            limits[f"max_steps {config.max_steps:,}"] = config.max_steps
        if config.max_tokens is not None:
            limits[f"max_tokens {config.max_tokens:,}"] = math.ceil(config.max_tokens / job.batch_tokens)
        if config.max_epochs is not None:
            most = min(limits.values()) * job.batch_blocks if limits else None
            blocks = job.feed.blocks_in(config.max_epochs, most)
            limits[f"max_epochs {config.max_epochs:g}"] = math.ceil(blocks / job.batch_blocks)
        self._limits = {name: max(1, steps) for name, steps in limits.items()}
        self.max_steps = min(self._limits.values()) if limits else None
        self._first: tuple[int, float] | None = None

    @property
    def out_of(self) -> str:
        """` of 1,000` for people, where the number of steps is known."""
        return "" if self.max_steps is None else f" of {self.max_steps:,}"

    def total_steps(self, step: int, elapsed_s: float) -> int:
        """Return the steps of the whole run, for the schedule: where time limits it, as many as fit at today's pace.

        The pace is that since this process's first step: what came before it, such as a validation, is not repeated
        every step. Until then the average of the whole run is taken, or, in its first step, nothing is known.
        """
        limits = [] if self.max_steps is None else [self.max_steps]
        if self._max_s is not None:
            limits.append(self._fitting(step, elapsed_s, self._max_s))
        return min(limits)

    def _fitting(self, step: int, elapsed_s: float, max_s: float) -> int:
        if not step or not elapsed_s:
            return 10**6
        self._first = self._first or (step, elapsed_s)
        first_step, first_s = self._first
        if step > first_step and elapsed_s > first_s:
            pace = (elapsed_s - first_s) / (step - first_step)
            return max(step + 1, step + int((max_s - elapsed_s) / pace))
        return max(step + 1, int(step * max_s / elapsed_s)) if step > 1 else 10**6

    def passed(self, step: int) -> str:
        """Return which limit lies behind a number of steps done, in words; empty for none."""
        passed = [f"{name} is {steps:,} steps now" for name, steps in self._limits.items() if step > steps]
        return f"{step:,} steps are trained, {passed[0]}" if passed else ""

    def may_end(self, state: TrainState) -> bool:
        """Return whether one more validation without a lower loss would end the run."""
        return self._patience is not None and state.worse + 1 >= self._patience

    def end(self, state: TrainState, elapsed_s: float) -> str:
        """Return why the run ends after the step that was done; empty while it goes on."""
        if self.max_steps is not None and state.step >= self.max_steps:
            return f"{state.step:,} steps"
        if self._max_s is not None and elapsed_s >= self._max_s:
            return f"{self._max_s / 60:g} minutes"
        if self._patience is not None and state.worse >= self._patience:
            return f"no better {self._measure} {state.worse} times in a row"
        return ""
