"""pretrain: train a language model on tokens, from scratch or onward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from llmkit.core.artifact import Build
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact
from llmkit.core.registry import Family
from llmkit.data.mixture import DataList
from llmkit.data.tokens import TOKENS_FILE
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
from llmkit.objectives.documents import DocumentObjective, Packing
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.training.config import TrainingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.data.mixture import Mixture, PackingPlan
    from llmkit.data.order import Order
    from llmkit.training.job import Job

VERSION = 3
ROWS = ("row_objective", "reads labelled rows, not documents; llmkit finetune trains on rows")
VERIFIED_FROM, VERIFIED = 256, 8
"""`verify_packing` measures so many blocks with several documents, out of so many from the start."""


class Config(TrainingConfig):
    """Config of `llmkit pretrain`."""

    data: DataList
    """Token artifacts of one tokenizer, each a directory or `{path, weight}`."""
    temperature: float | None = Field(None, ge=1, allow_inf_nan=False)
    """Weights of the data by size, in the place of given ones: size ** (1 / temperature); more lifts the small."""
    model: ModelConfig
    """A new model by architecture and config or by a preset's name, or the directory of one to go on with."""
    init_from: Annotated[str | None, NotIdentity] = None
    """Model directory or checkpoint whose weights a new model starts from; its step and optimizer are left behind."""
    objective: Annotated[DocumentObjective, Family("document_objective", elsewhere=ROWS)] = CausalLM()
    """What the model is trained to do."""
    packing: Literal["auto", "stream", "best_fit", "pad"] = "auto"
    """How documents become blocks. stream: cut wherever a block is full. best_fit: only documents longer than a block
    are cut. pad: one document a block. auto: the objective's own."""
    verify_packing: Annotated[bool, NotIdentity] = False
    """Measure on blocks of this run's data that no document sees another, and say what was found."""


def check(config: Config) -> None:
    """Check what the schema cannot know: the architecture's fields, and what excludes what. `--dry-run` does, too."""
    check_model(config.model, config.objective.auto_class)
    if config.model.path is not None and config.init_from is not None:
        raise ConfigError("init_from: the model of model.path has weights already", hint="take out one of the two")
    packing_of(config)
    if config.temperature is not None and any(item.weight is not None for item in config.data):
        raise ConfigError("temperature: the data have weights of their own", hint="take out one of the two")


def run(config: Config, context: Context) -> Result:
    """Pretrain a model."""
    from llmkit.training.trackers import check_trackers

    check_trackers(config.trackers)
    inputs = Inputs()
    tokens = [inputs.add_artifact(item.path, "tokens", role="data") for item in config.data]
    _check_tokenizers(tokens)
    if config.model.path is not None:
        inputs.add_directory(config.model.path, ("model", "export"), role="model")
    if config.init_from is not None:
        inputs.add_directory(config.init_from, ("model", "export"), role="init_from")
    context.add_checkpoint(inputs)
    with context.build("pretrain", VERSION, config, inputs, resumable=True) as build:
        if build.finished:
            return Result(build.finished, up_to_date=True)
        context.announce(build)
        return _pretrain(config, context, build, tokens)


def _pretrain(config: Config, context: Context, build: Build, tokens: list[Path]) -> Result:
    from llmkit.training.finish import MODEL_PAYLOAD, save_model, training_metrics, write_card
    from llmkit.training.loop import Trainer
    from llmkit.training.memory import out_of_memory_explained
    from llmkit.training.report import write_report

    check(config)
    tokenizer = load_tokenizer(tokens[0])
    vocabulary = vocabulary_of(tokenizer)
    config.objective.check(vocabulary)
    model = _model(config, context, tokenizer, vocabulary, tokens[0])
    job = _job(config, context, model, tokenizer, vocabulary, tokens)
    with out_of_memory_explained(config):
        state = Trainer(job, config, build.dir, context.console).train()
    if not context.leads:
        return Result(build.finish("model", payload=MODEL_PAYLOAD, metrics={}))
    end_ids = [] if vocabulary.eos is None else [vocabulary.eos]
    save_model(build.dir, model, tokenizer, context_length=config.context_length, end_ids=end_ids)
    size = count_parameters(model)
    metrics = {"parameters": size, **training_metrics(build.dir), "ended": state.ended}
    facts = training_facts(metrics)
    title = f"{model.config.model_type} {size / 1e6:.1f}M"
    write_card(build.dir, title=title, facts=facts, chat=False, auto_class=config.objective.auto_class)
    write_report(build.dir, title="Pretraining report", facts=facts)
    return Result(build.finish("model", payload=MODEL_PAYLOAD, metrics=metrics, resolved=state.resolved))


def summarize(artifact: Artifact) -> list[tuple[str, str]]:
    """Return label and value pairs: size, training, validation, speed."""
    return [*training_facts(artifact.manifest.metrics).items(), ("report", str(artifact.path / "report.html"))]


def training_facts(metrics: dict[str, Any]) -> dict[str, str]:
    """Return a training's metrics as people read them."""
    facts = {"parameters": f"{metrics['parameters']:,}"}
    if "rows" in metrics:
        facts["rows"] = f"{metrics['rows']:,}, {metrics['targets']:,} assistant tokens an epoch"
    facts["trained"] = f"{metrics['steps']:,} steps, {metrics['tokens']:,} tokens"
    facts["loss"] = f"{metrics['loss']:.4f}"
    if "bits_per_byte" in metrics:
        before, after = metrics["bits_per_byte_before"], metrics["bits_per_byte"]
        facts["bits per byte"] = f"{before:.4f} -> {after:.4f} on the validation split"
    elif "validation_loss" in metrics:
        facts["validation loss"] = f"{metrics['validation_loss']:.4f}"
    facts["speed"] = f"{metrics['tokens_per_second']:,.0f} tokens/s, {metrics['elapsed_s']:.0f} s in all"
    return facts


def packing_of(config: Config) -> Packing:
    """Return the packing mode, `auto` resolved.

    Raises:
        ConfigError: The objective cannot use the one that is asked for.
    """
    allowed = config.objective.packings
    if config.packing == "auto":
        return allowed[0]
    if config.packing not in allowed:
        raise ConfigError(
            f"packing: {config.objective.type_name} cannot use {config.packing}",
            hint=f"use {' or '.join(allowed)}, or leave it out",
        )
    return config.packing


def _model(
    config: Config, context: Context, tokenizer: PreTrainedTokenizerFast, vocabulary: Vocabulary, tokens: Path
) -> PreTrainedModel:
    auto_class, path = config.objective.auto_class, config.model.path
    if path is None:
        model = build_model(
            config.model,
            auto_class=auto_class,
            vocabulary=vocabulary,
            max_positions=config.context_length,
            seed=config.seed,
        )
        if config.init_from is not None:
            load_weights(model, config.init_from)
        return model
    model = load_model(path, auto_class=auto_class)
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
    from llmkit.data.mixture import training_stream, validation_packer
    from llmkit.training.job import Job, Validation

    plan = _plan(config, vocabulary)
    weights = [item.weight for item in config.data]
    data = training_stream(tokens, plan, seed=config.seed, weights=weights, temperature=config.temperature)
    config.objective.check_blocks(model, vocabulary, context_length=config.context_length, packing=packing_of(config))
    _check_isolation(config, context, model, vocabulary, data)
    held_out = validation_packer(tokens, plan)
    size = count_parameters(model)
    context.console.info(f"{model.config.model_type}, {size:,} parameters, {data.blocks_in(1):,} blocks an epoch")
    return Job(
        model,
        config.objective,
        vocabulary,
        data,
        None if held_out is None else Validation(*held_out),
        resume_from=context.checkpoint,
        title="Pretraining report",
        facts={"parameters": f"{size:,}"},
        tokenizer=tokenizer,
        prompts=_prompts(config, tokenizer, vocabulary, tokens),
    )


def _plan(config: Config, vocabulary: Vocabulary) -> PackingPlan:
    from llmkit.data.mixture import PackingPlan

    objective = config.objective
    prefix, suffix = objective.around(vocabulary)
    return PackingPlan(
        objective.raw_length(config.context_length),
        packing_of(config),
        objective.layout,
        prefix,
        suffix,
        pad_id=vocabulary.pad or 0,
        random_second=objective.random_second,
    )


def _check_isolation(
    config: Config, context: Context, model: PreTrainedModel, vocabulary: Vocabulary, data: Order | Mixture
) -> None:
    """Refuse a model whose documents see each other; with padding alone there is nothing to see."""
    from llmkit.modeling.isolation import check_isolation, measure_isolation

    if packing_of(config) == "pad":
        if config.verify_packing:
            context.console.info("packing: one document or pair a block, so there is nothing to keep apart")
        return
    check_isolation(model, config.objective, vocabulary)
    if config.verify_packing:
        batch = data.batch(0, VERIFIED_FROM)
        several = np.flatnonzero((batch.position_ids == 0).sum(1) > 1)[:VERIFIED]
        if not several.size:
            context.console.info(f"packing: none of the first {VERIFIED_FROM} blocks holds two documents")
            return
        found = measure_isolation(model, config.objective, vocabulary, batch.take(several), seed=config.seed)
        attention = model.config._attn_implementation
        context.console.info(
            f"packing: in blocks of this data the loss of a document depends on other documents by {found:.1e} of what"
            f" it depends on its own ({attention} attention)"
        )


def _prompts(
    config: Config, tokenizer: PreTrainedTokenizerFast, vocabulary: Vocabulary, tokens: list[Path]
) -> list[list[int]]:
    """Return what the texts at validations begin with; only causal models write any."""
    from llmkit.data.token_reader import TokenSplit
    from llmkit.training.samples import prompt_ids

    if config.objective.auto_class != "AutoModelForCausalLM" or not config.objective.scores_text:
        return []
    held_out = next((TokenSplit(path, "validation") for path in tokens if (path / "validation").is_dir()), None)
    documents = (held_out.document(i).tolist() for i in range(held_out.num_documents)) if held_out else ()
    prefix, _ = config.objective.around(vocabulary)
    return prompt_ids(config.samples, tokenizer, prefix=prefix, documents=documents)


def _check_tokenizers(tokens: list[Path]) -> None:
    """Refuse token artifacts of different tokenizers, and a tokenizer that changed after the tokens were made."""
    digests = [json.loads((path / TOKENS_FILE).read_text(encoding="utf-8"))["tokenizer_digest"] for path in tokens]
    for path, digest in zip(tokens, digests, strict=True):
        if tokenizer_digest(path) != digest:
            raise DataError(
                f"data: the tokenizer in {path} was changed after its tokens were made", hint="tokenize again"
            )
        if digest != digests[0]:
            raise DataError(f"data: {path} and {tokens[0]} were made with different tokenizers")
