"""The config fields that pretraining and fine-tuning share."""

from __future__ import annotations

import warnings
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from llmkit.core.config import Budget, Config, NotIdentity
from llmkit.core.registry import Family
from llmkit.data.clock import Date
from llmkit.modeling.adapters import Adapter
from llmkit.modeling.adapters.full import Full
from llmkit.objectives.rows import RowObjective
from llmkit.objectives.rows.sft import SFT
from llmkit.training.optimizers import Optimizer
from llmkit.training.optimizers.adamw import AdamW
from llmkit.training.overlength import Overlength
from llmkit.training.parallel import ParallelConfig
from llmkit.training.samples import SamplesConfig
from llmkit.training.schedule import ScheduleConfig
from llmkit.training.trackers import TrackerName


class ValidateConfig(Config):
    """When to validate."""

    every: int = Field(500, ge=1)
    """Steps between two validations; there is always one before the first step and one after the last."""


class CheckpointConfig(Config):
    """When to save the state that an interrupted run goes on from."""

    every: int = Field(500, ge=1)
    """Steps between two checkpoints; there is always one at the end and one at an interruption."""
    every_minutes: float | None = Field(5, gt=0, allow_inf_nan=False)
    """Minutes that a kill may cost: where `every` comes more rarely, there are checkpoints in between, each until the
    next. More minutes where saving takes long, so that at most 5% of the time go into it. null: by steps alone."""
    keep: int = Field(1, ge=1)
    """How many of the newest checkpoints stay."""
    background: bool = True
    """Write while training goes on; costs one copy of weights and optimizer state in memory."""


# pydantic warns that `validate` shadows its old class method of that name, which nothing here calls.
warnings.filterwarnings("ignore", message='Field name "validate" in ".*Config" shadows', category=UserWarning)


class TrainingConfig(Config):
    """What every training stage has."""

    default_epochs: ClassVar[float | None] = None
    """Passes over the data where no limit is given; None: one of the limits is required."""

    context_length: int = Field(1024, ge=8)
    """Tokens per block: how far back a position can look."""
    batch_tokens: int = Field(16384, ge=8)
    """Tokens per optimizer step, a multiple of `context_length`."""
    micro_batch_tokens: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Tokens per forward pass; the rest of the batch is accumulated, with the same result. auto: at most 16,384, of an
    adapter on a CPU 512, in bf16 2,048."""
    max_steps: Annotated[int | None, Budget] = Field(None, ge=1)
    """Optimizer steps. Of the limits given, the one that is reached first holds; raising it extends a finished run."""
    max_tokens: Annotated[int | None, Budget] = Field(None, ge=1)
    """Tokens to train on, padding included."""
    max_epochs: Annotated[float | None, Budget] = Field(None, gt=0)
    """Passes over the data."""
    max_minutes: Annotated[float | None, Budget] = Field(None, gt=0)
    """Minutes of training, over all interruptions; what it reaches depends on the machine's speed."""
    patience: Annotated[int | None, Budget] = Field(None, ge=1)
    """Stop after so many validations in a row without a lower loss than the best one; with `keep_best`, without a
    better value of that."""
    keep_best: str | None = None
    """Leave the weights of the best validation instead of the last: by `validation_loss`, `bits_per_byte`, or a measure
    of the objective, such as `macro_f1`. Costs a copy of what is trained on disk for every checkpoint that is kept, and
    one more."""
    optimizer: Annotated[Optimizer, Family("optimizer", default="adamw")] = AdamW()
    """The optimizer."""
    schedule: ScheduleConfig = ScheduleConfig()
    """The learning rate over the run."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """Compute precision; weights and optimizer stay in float32. auto: bf16 where the hardware multiplies it."""
    compile: bool | Literal["auto"] = "auto"
    """Compile the model (torch.compile): up to minutes before the first step. auto: where the run is long enough."""
    parallel: Annotated[ParallelConfig, NotIdentity] = ParallelConfig()
    """How several devices share the work."""
    validate: Annotated[ValidateConfig, NotIdentity] = ValidateConfig()  # type: ignore[assignment]
    """When to validate."""
    checkpoint: Annotated[CheckpointConfig, NotIdentity] = CheckpointConfig()
    """When to save."""
    samples: Annotated[SamplesConfig, NotIdentity] = SamplesConfig()
    """Texts that the model writes at every validation."""
    trackers: Annotated[list[TrackerName], NotIdentity] = []
    """Experiment trackers that the metrics go to, beside metrics.jsonl."""
    log_every: Annotated[int, NotIdentity] = Field(10, ge=1)
    """Steps between two lines of metrics.jsonl."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of the weights, the order of the data and dropout."""

    @model_validator(mode="after")
    def _check(self) -> TrainingConfig:
        if "batch_tokens" not in self.model_fields_set:  # nobody asked for so many: as many whole blocks
            blocks = max(1, self.batch_tokens // self.context_length)
            self.__dict__["batch_tokens"] = blocks * self.context_length
        if self.batch_tokens % self.context_length:
            raise ValueError(
                f"batch_tokens {self.batch_tokens} is not a multiple of context_length {self.context_length}"
            )
        if not self.limited and self.default_epochs is None:
            raise ValueError("one of max_steps, max_tokens, max_epochs and max_minutes is required")
        return self

    @property
    def adapted(self) -> Adapter:
        """What of the model is trained."""
        return Full()

    @property
    def limited(self) -> bool:
        """Whether the run has a limit of its own."""
        return any(limit is not None for limit in (self.max_steps, self.max_tokens, self.max_epochs, self.max_minutes))

    @property
    def batch_blocks(self) -> int:
        """Blocks per optimizer step."""
        return self.batch_tokens // self.context_length


class RowTrainingConfig(TrainingConfig):
    """What a training on labelled rows has besides."""

    default_epochs: ClassVar[float | None] = 3

    objective: Annotated[RowObjective, Family("row_objective")] = SFT()
    """What the model is trained to do."""
    adapter: Annotated[Adapter, Family("adapter", default="lora")] = Full()
    """What of the model is trained: all of it, the head, the last layers, or small matrices beside it (LoRA)."""
    merge: bool = False
    """Leave a plain model that the adapter is merged into, instead of the adapter, which stays in the checkpoint."""
    template: str | None = None
    """Which of several chat templates to train with; the model is saved with that one alone. null: the default one. For
    a model without one: `chatml`, `chatml_tools`, `llama3`, `gemma`, `phi3` or `plain`, whose tokens it gets."""
    date: Date = None
    """Today's date, as YYYY-MM-DD, to a chat template that asks for it. null: the day on which the run was begun."""
    validation_fraction: float = Field(0.02, ge=0, lt=1)
    """Share of the rows, by a hash of their text, that training never sees and validates on; none of them where there
    is `validation_data`."""
    context_length: int = Field(1024, ge=8)
    """Longest row, and tokens per block where rows share one. Not given: no more than the model has positions."""
    overlength: Overlength = "error"
    """What becomes of rows longer than `context_length`. truncate: cut as the objective says (chats lose their first
    exchanges, texts their end); the end of a sequence and the last answer are never cut, and rows that do not fit
    without are left out. drop: left out. split: made several, chats between exchanges, tags between words. error: an
    error where they are more than 1% of the rows, else truncate. All are counted."""
    batch_rows: int = Field(32, ge=1)
    """Rows per optimizer step, of objectives that do not pack several into a block; `batch_tokens` is for those."""
    max_epochs: Annotated[float | None, Budget] = Field(None, gt=0)
    """Passes over the data; 3 where no limit is given."""

    @property
    def adapted(self) -> Adapter:
        """What of the model is trained."""
        return self.adapter

    @model_validator(mode="after")
    def _check_merge(self) -> RowTrainingConfig:
        if self.merge and not self.adapter.is_apart:
            raise ValueError(f"merge is for adapters: {self.adapter.type_name} leaves a whole model as it is")
        if self.merge and not self.adapter.merges:
            raise ValueError(
                f"the virtual tokens of {self.adapter.type_name} are no weights of a model, and cannot be merged: leave"
                " merge out, eval and predict take what is left as it is; or adapter=lora"
            )
        return self

    @model_validator(mode="after")
    def _check_overlength(self) -> RowTrainingConfig:
        if self.overlength == "split" and not getattr(self.objective, "splits", False):
            raise ValueError(f"overlength: {self.objective.type_name} cannot split a row; truncate and drop are left")
        return self

    @model_validator(mode="after")
    def _check_template(self) -> RowTrainingConfig:
        if self.template is not None and not self.objective.chats:
            raise ValueError(f"template is for chats: {self.objective.type_name} needs no chat template")
        return self
