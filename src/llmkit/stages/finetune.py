"""finetune: train a model further on labelled rows of any kind that an objective reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from llmkit.cleaning.reading import Readable, describe_inputs, read_inputs, row_kind, say_what_rows
from llmkit.core.artifact import Build
from llmkit.core.config import NotIdentity
from llmkit.core.console import Console
from llmkit.core.context import Context
from llmkit.core.inputs import Inputs
from llmkit.core.registry import Family
from llmkit.core.stage import Estimate
from llmkit.data.artifacts import Model
from llmkit.data.clock import has_clock, settle_date
from llmkit.data.rendering import add_templates, chosen_template, templates_in
from llmkit.data.rows import Row
from llmkit.data.sources import Source
from llmkit.modeling.build import ModelConfig
from llmkit.training.config import RowTrainingConfig
from llmkit.training.labelled import check_kind, choose_rows
from llmkit.training.optimizers import Optimizer
from llmkit.training.optimizers.adamw import AdamW
from llmkit.training.preparation import ready
from llmkit.training.preview import preview_rows
from llmkit.training.schedule import ScheduleConfig
from llmkit.training.session import Prepared, TrainingStage
from llmkit.work.engine import Engine


class Config(RowTrainingConfig):
    """Config of `llmkit finetune`."""

    data: list[Annotated[Source, Family("source", shorthand=("files", "path"))]] = Field(min_length=1)
    """Labelled rows: examples artifacts, or whatever `clean` reads, taken as it is."""
    columns: dict[str, str] = {}
    """Column that holds a field of the rows, where it is not found by its name: `{text: review, label: stars}`."""
    model: Annotated[str, NotIdentity]
    """Directory of the model to start from."""
    optimizer: Annotated[Optimizer, Family("optimizer", default="adamw")] = AdamW(lr=5e-5, weight_decay=0.01)
    """The optimizer."""
    schedule: ScheduleConfig = ScheduleConfig(type="linear", warmup_steps=20, min_lr_ratio=0)
    """The learning rate over the run."""
    workers: Annotated[int | None, NotIdentity] = Field(None, ge=1)
    """Processes that encode the rows; null for one per core, where there are many rows."""


class Found(NamedTuple):
    """What a run reads: the rows, what they are, and the model."""

    data: Readable
    kind: Row
    sources: list[Source]
    model: Path


class Finetune(TrainingStage[Config]):
    """A model and labelled rows to a model."""

    name, version, config = "finetune", 4, Config
    stand_ins = {"data": ["no-data"]}

    def describe(self, config: Config, inputs: Inputs) -> Found:
        """Find out what the rows are."""
        sources = choose_rows(config.data, config.objective, config.columns)
        data = describe_inputs(sources, inputs, kind="examples", role="data")
        model = inputs.add_directory(config.model, Model.KINDS, role="model")
        add_templates(model, inputs)
        return Found(data, check_kind(row_kind(sources, "data"), config.objective), sources, model)

    def settle(self, config: Config, context: Context, found: Found) -> Config:
        """Settle the date of a chat template that asks for it: part of the run, which may go on tomorrow."""
        if not config.objective.chats:
            return config
        template = chosen_template(templates_in(found.model), config.template)
        return config.model_copy(update={"date": settle_date(config.date, context) if has_clock(template) else None})

    def prepare(self, config: Config, context: Context, build: Build, found: Found) -> Prepared:
        """Read and encode the rows, and make the model ready."""
        say_what_rows(found.sources, "data", context.console)
        with Engine(workers=config.workers) as engine:

            def read(work: Path) -> list[Path]:
                return read_inputs(found.data, found.kind, work, engine, context)[0]

            return ready(config, context, build, read, found.kind, found.model, engine)

    def preview(self, config: Config, count: int, console: Console) -> None:
        """Show rows as the model sees them."""
        sources = choose_rows(config.data, config.objective, config.columns)
        kind = check_kind(row_kind(sources, "data"), config.objective)
        preview_rows(config, Path(config.model), sources, kind, count, console)

    def plan(self, config: Config, num_processes: int) -> Estimate:
        """Work out parameters, FLOPs, memory, time and disk; rows are not encoded, so epochs have no length."""
        from llmkit.training.estimate import estimate

        found = estimate(config, ModelConfig(path=config.model), config.objective, [], num_processes)
        if found.values["steps"] is None:
            found.warnings.append("rows are counted when they are encoded: max_steps or max_tokens would say how many")
        return found


STAGE = Finetune()
