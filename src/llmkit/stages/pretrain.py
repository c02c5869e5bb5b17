"""pretrain: train a language model on tokens, from scratch or onward."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from llmkit.core.artifact import Build
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context
from llmkit.core.errors import ConfigError
from llmkit.core.inputs import Inputs, check_directory
from llmkit.core.registry import Family
from llmkit.core.stage import Estimate
from llmkit.data.artifacts import Model, Tokens
from llmkit.data.mixture import DataList
from llmkit.modeling.build import ModelConfig, build_model, check_model
from llmkit.modeling.load import (
    check_extension,
    check_positions,
    check_vocabulary,
    count_parameters,
    grow_embeddings,
    load_model,
    load_weights,
)
from llmkit.modeling.tokenizer import load_tokenizer, tokenizer_digest
from llmkit.modeling.vocabulary import Vocabulary, vocabulary_of
from llmkit.objectives.documents import DocumentObjective
from llmkit.objectives.documents._plans import PackingChoice, packing_of, plan_of
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.training.config import TrainingConfig
from llmkit.training.documents import check_apart, check_tokenizers, document_feed, document_prompts, verify_apart
from llmkit.training.session import Prepared, TrainingStage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.training.job import Job

ROWS = ("row_objective", "reads labelled rows, not documents; llmkit finetune trains on rows")
NO_DATA = "no-data"
"""Stands for the data of a plan that is given none."""


class Config(TrainingConfig):
    """Config of `llmkit pretrain`."""

    data: DataList
    """Token artifacts of one tokenizer, each a directory or `{path, weight}`."""
    temperature: float | None = Field(None, ge=1, allow_inf_nan=False)
    """Weights of the data by size, in the place of given ones: size ** (1 / temperature); more lifts the small."""
    model: ModelConfig
    """A new model by architecture and config or by a preset's name, or the directory (or GGUF file) of one to go on
    with."""
    init_from: Annotated[str | None, NotIdentity] = None
    """Model directory, GGUF file or checkpoint whose weights a new model starts from; its step and optimizer stay."""
    objective: Annotated[DocumentObjective, Family("document_objective", elsewhere=ROWS)] = CausalLM()
    """What the model is trained to do."""
    packing: PackingChoice = "auto"
    """How documents become blocks. stream: cut wherever a block is full. best_fit: only documents longer than a block
    are cut. pad: one document a block. auto: the objective's own."""
    verify_packing: Annotated[bool, NotIdentity] = False
    """Measure on blocks of this run's data that no document sees another, and say what was found."""


def check(config: Config) -> None:
    """Check what the schema cannot know: the architecture's fields, and what excludes what."""
    if config.model.path is not None:
        check_directory(config.model.path, Model.KINDS, role="model")
    check_model(config.model, config.objective.model_head())
    if config.model.path is not None and config.init_from is not None:
        raise ConfigError("init_from: the model of model.path has weights already", hint="take out one of the two")
    packing_of(config.objective, config.packing)
    if config.temperature is not None and any(item.weight is not None for item in config.data):
        raise ConfigError("temperature: the data have weights of their own", hint="take out one of the two")


def _model(
    config: Config, context: Context, tokenizer: PreTrainedTokenizerFast, vocabulary: Vocabulary, tokens: Path
) -> PreTrainedModel:
    from llmkit.modeling.adapted import check_merges

    head, path = config.objective.model_head(), config.model.path
    if path is None:
        model = build_model(
            config.model,
            head=head,
            vocabulary=vocabulary,
            max_positions=config.context_length,
            seed=config.seed,
        )
        if config.init_from is not None:
            load_weights(model, config.init_from)
        return model
    check_merges(path)
    model = load_model(path, head)
    check_positions(model.config, config.context_length, path)
    if tokenizer_digest(path) != tokenizer_digest(tokens):
        check_extension(load_tokenizer(path), tokenizer, tokens)
        if grown := grow_embeddings(model, vocabulary.size):
            context.console.info(f"the tokenizer has grown: {grown:,} rows were added to the model's embedding")
    check_vocabulary(model, vocabulary.size, tokens)
    return model


def _job(
    config: Config,
    context: Context,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    vocabulary: Vocabulary,
    tokens: list[Path],
) -> Job:
    from llmkit.modeling.companions import have_companions
    from llmkit.training.job import Job

    objective = config.objective
    packing = packing_of(objective, config.packing)
    plan = plan_of(objective, vocabulary, context_length=config.context_length, packing=packing)
    models = have_companions(model, objective.companions())
    weights = [item.weight for item in config.data]
    feed = document_feed(tokens, plan, config, weights=weights, temperature=config.temperature)
    objective.check_blocks(model, vocabulary, context_length=config.context_length, packing=packing)
    check_apart(model, objective, vocabulary, packing)
    if config.verify_packing:
        verify_apart(model, objective, vocabulary, packing, feed.stream, config.seed, context.console)
    size = count_parameters(model)
    context.console.info(
        f"{model.config.model_type}, {size:,} parameters, {feed.stream.blocks_in(1):,} blocks an epoch"
    )
    return Job(
        models,
        objective,
        vocabulary,
        feed,
        config.batch_blocks,
        resume_from=context.checkpoint,
        title="Pretraining report",
        facts={"parameters": f"{size:,}"},
        tokenizer=tokenizer,
        prompts=document_prompts(config, objective, tokenizer, vocabulary, tokens),
    )


class Pretrain(TrainingStage[Config]):
    """Tokens to a model."""

    name, version, config = "pretrain", 6, Config
    stand_ins = {"data": [NO_DATA]}

    def check(self, config: Config) -> None:
        """Check the architecture's fields, and what excludes what."""
        super().check(config)
        check(config)

    def describe(self, config: Config, inputs: Inputs) -> list[Path]:
        """Return the token artifacts; they and the models to begin with are read."""
        tokens = [inputs.add_artifact(item.path, "tokens", role="data") for item in config.data]
        check_tokenizers(tokens)
        if config.model.path is not None:
            inputs.add_directory(config.model.path, Model.KINDS, role="model")
        if config.init_from is not None:
            inputs.add_directory(config.init_from, Model.KINDS, role="init_from")
        return tokens

    def prepare(self, config: Config, context: Context, build: Build, found: list[Path]) -> Prepared:  # noqa: ARG002
        """Make model and blocks ready."""
        tokenizer = load_tokenizer(found[0])
        vocabulary = vocabulary_of(tokenizer)
        config.objective.check(vocabulary)
        model = _model(config, context, tokenizer, vocabulary, found[0])
        job = _job(config, context, model, tokenizer, vocabulary, found)
        return Prepared(job, config, tokenizer, end_ids=[] if vocabulary.eos is None else [vocabulary.eos])

    def plan(self, config: Config, num_processes: int) -> Estimate:
        """Work out parameters, FLOPs, memory, time and disk; loads no weights and needs no data."""
        from llmkit.training.estimate import estimate

        tokens, packing = [item.path for item in config.data], packing_of(config.objective, config.packing)
        found = estimate(config, config.model, config.objective, tokens, num_processes, packing=packing)
        if missing := [path for path in tokens if path != NO_DATA and not Tokens(path).is_there()]:
            found.warnings.insert(0, f"not there yet, or no tokens, and not counted: {', '.join(missing)}")
        return found


STAGE = Pretrain()
