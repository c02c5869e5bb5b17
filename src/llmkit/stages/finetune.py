"""finetune: train a model further, on labelled rows of any kind that an objective reads, or on documents."""

from __future__ import annotations

import glob
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

from pydantic import Field, model_validator

from llmkit.cleaning.reading import Readable, describe_inputs, read_inputs, row_kind, say_what_rows
from llmkit.core.adapter import is_adapter
from llmkit.core.artifact import Build
from llmkit.core.config import NotIdentity
from llmkit.core.console import Console
from llmkit.core.context import Context
from llmkit.core.errors import ConfigError
from llmkit.core.extras import require
from llmkit.core.hub import located
from llmkit.core.inputs import Inputs
from llmkit.core.registry import Family
from llmkit.core.stage import Estimate
from llmkit.data.artifacts import Model
from llmkit.data.clock import has_clock, settle_date
from llmkit.data.rendering import add_templates, chosen_template, templates_in
from llmkit.data.rows import Row
from llmkit.data.sources import Source
from llmkit.modeling.build import ModelConfig
from llmkit.modeling.gguf import model_directory
from llmkit.modeling.pooling import add_pooling
from llmkit.objectives.documents import DocumentObjective
from llmkit.objectives.documents._plans import PackingChoice, packing_of
from llmkit.objectives.rows import RowObjective
from llmkit.objectives.rows.sft import SFT
from llmkit.stages._documents import FoundDocuments, describe_documents, show_documents, text_source
from llmkit.training.config import RowTrainingConfig
from llmkit.training.labelled import check_kind, choose_rows
from llmkit.training.optimizers import Optimizer
from llmkit.training.optimizers.adamw import AdamW
from llmkit.training.preparation import ready
from llmkit.training.preview import preview_rows
from llmkit.training.schedule import ScheduleConfig
from llmkit.training.session import Prepared, TrainingStage
from llmkit.work.engine import Engine

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.training.counted import Counted


NO_DATA = "no-data"
"""Stands for the data of a plan that is given none."""


class Config(RowTrainingConfig):
    """Config of `llmkit finetune`."""

    data: list[Annotated[Source, Family("source", shorthand=("files", "path"))]] = Field(min_length=1)
    """Labelled rows: examples artifacts, or whatever `clean` reads, taken as it is. For objectives over documents:
    text, corpora, or tokens of the model's own tokenizer."""
    validation_data: list[Annotated[Source, Family("source", shorthand=("files", "path"))]] = []
    """Rows to validate on, of the same kind; none of `data` are held out then. Those that stand in `data` as well are
    counted."""
    columns: dict[str, str] = {}
    """Column that holds a field of the rows, where it is not found by its name: `{text: review, label: stars}`."""
    model: Annotated[str, NotIdentity]
    """Directory of the model to start from, its file in GGUF, or its name on the Hugging Face hub (`ORG/NAME`, or
    `ORG/NAME@REVISION`), where it is in the hub's cache on this machine."""
    objective: Annotated[RowObjective | DocumentObjective, Family("row_objective", joined="document_objective")] = SFT()  # type: ignore[assignment]
    """What the model is trained to do: an objective over labelled rows, or one over documents."""
    packing: PackingChoice = "auto"
    """How documents become blocks, as in `pretrain`; how rows lie their objective says."""
    optimizer: Annotated[Optimizer, Family("optimizer", default="adamw")] = AdamW(lr=5e-5, weight_decay=0.01)
    """The optimizer."""
    schedule: ScheduleConfig = ScheduleConfig(type="linear", warmup_steps=20, min_lr_ratio=0)
    """The learning rate over the run."""
    workers: Annotated[int | None, NotIdentity] = Field(None, ge=1)
    """Processes that encode the rows; null for one per core, where there are many rows."""

    @property
    def data_kinds(self) -> tuple[str, ...]:
        """Kinds of artifacts that `data` may name."""
        return ("tokens", "corpus") if isinstance(self.objective, DocumentObjective) else ("examples",)

    def as_read(self, source: Source) -> Source:
        """Return a source of the data as it is read: documents may be source code."""
        return text_source(source, self.columns) if isinstance(self.objective, DocumentObjective) else source

    @model_validator(mode="after")
    def _check_packing(self) -> Config:
        if isinstance(self.objective, DocumentObjective):
            packing_of(self.objective, self.packing)
            if not self.adapter.packs:
                name = self.adapter.type_name
                raise ValueError(
                    f"adapter: {name} puts tokens before each row, and documents share blocks; lora does not"
                )
            if self.validation_data:
                raise ValueError("validation_data is for rows: validation_fraction of the documents is held out")
        elif self.packing != "auto":
            raise ValueError(f"packing is for documents: how rows lie {self.objective.type_name} says")
        return self


class Found(NamedTuple):
    """What a run reads: the rows, what they are, the model, and rows to validate on."""

    data: Readable
    kind: Row
    sources: list[Source]
    model: Path
    held: Readable | None = None
    held_sources: list[Source] = []


class Finetune(TrainingStage[Config]):
    """A model and labelled rows to a model."""

    name, version, config = "finetune", 6, Config
    stand_ins = {"data": [NO_DATA]}

    def describe(self, config: Config, inputs: Inputs) -> Found | FoundDocuments:
        """Find out what the rows are, or which documents are tokens already."""
        if needed := config.adapter.needs():
            require(*needed)
        if isinstance(config.objective, DocumentObjective):
            text, tokens = describe_documents(config.data, config.columns, inputs)
            return FoundDocuments(text, tokens, self._model(config, inputs))
        sources = choose_rows(config.data, config.objective, config.columns)
        data = describe_inputs(sources, inputs, kind="examples", role="data")
        model = self._model(config, inputs)
        add_templates(model, inputs)
        if config.objective.head == "embedding":
            add_pooling(model, inputs)
        kind = check_kind(row_kind(sources, "data"), config.objective)
        if not config.validation_data:
            return Found(data, kind, sources, model)
        held = choose_rows(config.validation_data, config.objective, config.columns, "validation_data")
        row_kind([*sources, *held], "data and validation_data")
        described = describe_inputs(held, inputs, kind="examples", role="validation_data")
        return Found(data, kind, sources, model, described, held)

    @staticmethod
    def _model(config: Config, inputs: Inputs) -> Path:
        """Add the model to the inputs; return the directory that it is read from."""
        model = model_directory(inputs.add_directory(located(config.model), Model.KINDS, role="model"))
        if is_adapter(model):
            from llmkit.modeling.adapted import check_merges

            check_merges(model)
        if config.adapter.is_apart and is_adapter(model):
            raise ConfigError(
                f"model: {config.model} is an adapter itself, and {config.adapter.type_name} needs a whole model",
                f"llmkit export --model {config.model} -o MERGED, then --model MERGED; all of it is trained without"
                " --lora",
            )
        return model

    def settle(self, config: Config, context: Context, found: Found | FoundDocuments) -> Config:
        """Settle the date of a chat template that asks for it: part of the run, which may go on tomorrow."""
        if not config.objective.chats:
            return config
        template = chosen_template(templates_in(found.model), config.template)
        return config.model_copy(update={"date": settle_date(config.date, context) if has_clock(template) else None})

    def prepare(self, config: Config, context: Context, build: Build, found: Found | FoundDocuments) -> Prepared:
        """Read and encode the rows or documents, and make the model ready."""
        if isinstance(found, FoundDocuments):
            return self._prepare_documents(config, context, build, found)
        say_what_rows(found.sources, "data", context.console)
        say_what_rows(found.held_sources, "validation_data", context.console)
        with Engine(workers=config.workers) as engine:

            def read(work: Path) -> list[Path]:
                return read_inputs(found.data, found.kind, work, engine, context)[0]

            def read_held(work: Path) -> list[Path]:
                return read_inputs(cast("Readable", found.held), found.kind, work, engine, context)[0]

            held = None if found.held is None else read_held
            prepared = ready(config, context, build, read, found.kind, found.model, config.model, engine, held)
        named = ", ".join(Path(source.root()).name for source in found.sources)
        return replace(prepared, facts={"data": named, **prepared.facts})

    @staticmethod
    def _prepare_documents(config: Config, context: Context, build: Build, found: FoundDocuments) -> Prepared:
        from llmkit.training.onward import ready_documents

        objective = cast("DocumentObjective", config.objective)
        with Engine(workers=config.workers) as engine:

            def encode(place: Path, tokenizer: PreTrainedTokenizerFast) -> list[Path]:
                return found.encode(place, tokenizer, engine, context, config.validation_fraction)

            return ready_documents(
                config, objective, config.packing, context, build, encode, found.model, config.model, found.tokens
            )

    def preview(self, config: Config, count: int, console: Console) -> None:
        """Show rows, or blocks of documents, as the model sees them."""
        if isinstance(config.objective, DocumentObjective):
            show_documents(
                config.data, config.columns, config, config.model, config.objective, config.packing, count, console
            )
            return
        sources = choose_rows(config.data, config.objective, config.columns)
        kind = check_kind(row_kind(sources, "data"), config.objective)
        preview_rows(config, model_directory(located(config.model)), sources, kind, count, console)

    def plan(self, config: Config, num_processes: int) -> Estimate:
        """Work out parameters, FLOPs, memory, time and disk; the rows that are there are encoded to count them."""
        from llmkit.training.estimate import estimate

        spec = ModelConfig(path=located(config.model))
        if missing := [source.root() for source in config.data if not _is_there(source)]:
            found = estimate(config, spec, config.objective, [], num_processes)
            if [Path(path).name for path in missing] != [NO_DATA]:
                found.warnings.append(f"not there yet, and not counted: {', '.join(missing)}")
            elif found.values["steps"] is None:
                found.warnings.append(
                    "rows are counted when they are encoded: --data, max_steps or max_tokens would say"
                )
            return found
        with TemporaryDirectory(prefix="llmkit-plan-") as place, Engine(workers=config.workers) as engine:
            if isinstance(config.objective, DocumentObjective):
                return self._plan_documents(config, Path(place), engine, num_processes)
            counted = self._count(config, Path(place), engine)
            return estimate(counted.config, spec, counted.objective, [], num_processes, counted=counted)

    def _plan_documents(self, config: Config, place: Path, engine: Engine, num_processes: int) -> Estimate:
        from llmkit.training.estimate import estimate
        from llmkit.training.onward import fit_documents

        objective, context = cast("DocumentObjective", config.objective), Context(place, Console(quiet=True))
        found = cast("FoundDocuments", self.describe(config, Inputs()))
        fitted, tokenizer, _ = fit_documents(config, objective, found.model, found.tokens, context.console)
        tokens = found.encode(place, tokenizer, engine, context, config.validation_fraction)
        spec, packing = ModelConfig(path=str(located(config.model))), packing_of(objective, config.packing)
        return estimate(fitted, spec, objective, list(map(str, tokens)), num_processes, packing=packing)

    def _count(self, config: Config, place: Path, engine: Engine) -> Counted:
        from llmkit.training.counted import count_rows

        context = Context(place, Console(quiet=True))
        found = cast("Found", self.describe(config, Inputs()))
        if found.held is not None:
            config = config.model_copy(update={"validation_fraction": 0})

        def read(work: Path) -> list[Path]:
            return read_inputs(found.data, found.kind, work, engine, context)[0]

        return count_rows(config, read, found.kind, found.model, engine, context.console, place)


def _is_there(source: Source) -> bool:
    root = source.root()
    return "://" in root or glob.has_magic(root) or Path(root).exists()


STAGE = Finetune()
