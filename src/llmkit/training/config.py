"""The config fields that pretraining and fine-tuning share."""

from __future__ import annotations

import warnings
from typing import Annotated, Literal

from pydantic import Field, model_validator

from llmkit.core.config import Budget, Config, NotIdentity


class OptimizerConfig(Config):
    """The optimizer."""

    type: Literal["adamw"] = "adamw"
    """AdamW (Loshchilov & Hutter 2019), fused where the device has it."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate."""
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field([0.9, 0.95], min_length=2, max_length=2)
    """Decay of the first and second moment."""
    eps: float = Field(1e-8, gt=0)
    """Added to the denominator."""
    weight_decay: float = Field(0.1, ge=0)
    """Decoupled decay of matrices; vectors (norms, biases) are never decayed."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this global norm."""


class ScheduleConfig(Config):
    """The learning rate over the run."""

    type: Literal["cosine", "linear", "constant"] = "cosine"
    """Shape after the warmup."""
    warmup_steps: int = Field(100, ge=0)
    """Steps of linear warmup from 0, at most half of the run."""
    min_lr_ratio: float = Field(0.1, ge=0, le=1)
    """Final learning rate as a share of the peak (cosine and linear)."""


class ValidateConfig(Config):
    """When to validate."""

    every: int = Field(500, ge=1)
    """Steps between two validations; there is always one before the first step and one after the last."""


class CheckpointConfig(Config):
    """When to save the state that an interrupted run goes on from."""

    every: int = Field(500, ge=1)
    """Steps between two checkpoints; there is always one at the end and one at an interruption."""
    keep: int = Field(1, ge=1)
    """How many of the newest checkpoints stay."""


# pydantic warns that `validate` shadows its old class method of that name, which nothing here calls.
warnings.filterwarnings("ignore", message='Field name "validate" in ".*Config" shadows', category=UserWarning)


class TrainingConfig(Config):
    """What every training stage has."""

    context_length: int = Field(1024, ge=8)
    """Tokens per block: how far back a position can look."""
    batch_tokens: int = Field(16384, ge=8)
    """Tokens per optimizer step, a multiple of `context_length`."""
    micro_batch_tokens: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Tokens per forward pass; the rest of the batch is accumulated, with the same result. auto: at most 16,384."""
    max_steps: Annotated[int | None, Budget] = Field(None, ge=1)
    """Optimizer steps. Of the limits given, the one that is reached first holds; raising it extends a finished run."""
    max_tokens: Annotated[int | None, Budget] = Field(None, ge=1)
    """Tokens to train on, padding included."""
    max_epochs: Annotated[float | None, Budget] = Field(None, gt=0)
    """Passes over the data."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer."""
    schedule: ScheduleConfig = ScheduleConfig()
    """The learning rate over the run."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """Compute precision; weights and optimizer stay in float32. auto: bf16 where the hardware multiplies it."""
    validate: Annotated[ValidateConfig, NotIdentity] = ValidateConfig()  # type: ignore[assignment]
    """When to validate."""
    checkpoint: Annotated[CheckpointConfig, NotIdentity] = CheckpointConfig()
    """When to save."""
    log_every: Annotated[int, NotIdentity] = Field(10, ge=1)
    """Steps between two lines of metrics.jsonl."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of the weights, the order of the data and dropout."""

    @model_validator(mode="after")
    def _check(self) -> TrainingConfig:
        if self.batch_tokens % self.context_length:
            raise ValueError(
                f"batch_tokens {self.batch_tokens} is not a multiple of context_length {self.context_length}"
            )
        if self.max_steps is None and self.max_tokens is None and self.max_epochs is None:
            raise ValueError("one of max_steps, max_tokens and max_epochs is required")
        return self

    @property
    def batch_blocks(self) -> int:
        """Blocks per optimizer step."""
        return self.batch_tokens // self.context_length
