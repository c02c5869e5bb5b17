"""pretrain: train a language model on tokens, from scratch or onward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from llmkit.core.artifact import Build
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.errors import DataError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact
from llmkit.core.registry import Family
from llmkit.data.tokens import TOKENS_FILE
from llmkit.modeling.build import (
    ModelConfig,
    build_model,
    check_model,
    check_positions,
    check_vocabulary,
    count_parameters,
    load_model,
)
from llmkit.modeling.isolation import check_isolation
from llmkit.modeling.tokenizer import load_tokenizer, special_ids, tokenizer_digest, vocabulary_size
from llmkit.objectives import Objective
from llmkit.objectives.causal_lm import CausalLM
from llmkit.training.config import TrainingConfig
from llmkit.training.launch import check_launch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.data.order import Order
    from llmkit.training.loop import Validation

VERSION = 1


class Config(TrainingConfig):
    """Config of `llmkit pretrain`."""

    data: Annotated[list[str], NotIdentity] = Field(min_length=1)
    """Token artifacts of one tokenizer; all their documents are trained on alike."""
    model: ModelConfig
    """A new model by architecture and config, or the directory of one to go on with."""
    objective: Annotated[Objective, Family("objective")] = CausalLM()
    """What the model is trained to do."""


def check(config: Config) -> None:
    """Check what the schema cannot know: the fields of the architecture. `--dry-run` does, too."""
    check_model(config.model)


def run(config: Config, context: Context) -> Result:
    """Pretrain a model."""
    check_launch()
    inputs = Inputs()
    tokens = [inputs.add_artifact(path, "tokens", role="data") for path in config.data]
    _check_tokenizers(tokens)
    if config.model.path is not None:
        inputs.add_directory(config.model.path, ("model", "export"), role="model")
    with context.build("pretrain", VERSION, config, inputs, resumable=True) as build:
        if build.finished:
            return Result(build.finished, up_to_date=True)
        context.announce(build)
        return _pretrain(config, context, build, tokens)


def _pretrain(config: Config, context: Context, build: Build, tokens: list[Path]) -> Result:
    from llmkit.training.finish import MODEL_PAYLOAD, save_model, training_metrics, write_card, write_report
    from llmkit.training.loop import Trainer

    check(config)
    tokenizer = load_tokenizer(tokens[0])
    model = _model(config, tokenizer, tokens[0])
    check_isolation(model)
    size = count_parameters(model)
    data, validation = _data(config, tokens, tokenizer)
    context.console.info(f"{model.config.model_type}, {size:,} parameters, {data.blocks_in(1):,} blocks an epoch")
    trainer = Trainer(model, config.objective, data, validation, config, build.dir, context.console)
    trainer.train()
    ids = special_ids(tokenizer)
    end_ids = [] if ids.eos is None else [ids.eos]
    save_model(build.dir, model, tokenizer, context_length=config.context_length, end_ids=end_ids)
    metrics = {"parameters": size, **training_metrics(build.dir)}
    facts = training_facts(metrics)
    write_card(build.dir, title=f"{model.config.model_type} {size / 1e6:.1f}M", facts=facts, chat=False)
    write_report(build.dir, title="Pretraining report", facts=facts)
    artifact = build.finish("model", payload=MODEL_PAYLOAD, metrics=metrics, resolved=trainer.state.resolved)
    return Result(artifact)


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
    facts["speed"] = f"{metrics['tokens_per_second']:,.0f} tokens/s, {metrics['elapsed_s']:.0f} s in all"
    return facts


def _model(config: Config, tokenizer: PreTrainedTokenizerFast, tokens: Path) -> PreTrainedModel:
    size, ids = vocabulary_size(tokenizer), special_ids(tokenizer)
    if config.model.path is not None:
        model = load_model(config.model.path)
        check_vocabulary(model, size, tokens)
        check_positions(model.config, config.context_length, config.model.path)
        if tokenizer_digest(config.model.path) != tokenizer_digest(tokens):
            raise DataError(
                f"model.path: {config.model.path} was trained with another tokenizer than the one in {tokens}",
                hint=f"llmkit tokenize -i CORPUS --tokenizer {config.model.path} -o TOKENS",
            )
        return model
    return build_model(
        config.model,
        vocab_size=size,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ids.eos,
        pad_token_id=ids.pad,
        max_positions=config.context_length,
        seed=config.seed,
    )


def _data(config: Config, tokens: list[Path], tokenizer: PreTrainedTokenizerFast) -> tuple[Order, Validation | None]:
    from llmkit.data.order import Order
    from llmkit.data.packing import StreamPacker
    from llmkit.data.token_reader import JoinedSplits, TokenSplit
    from llmkit.training.loop import Validation

    ids = special_ids(tokenizer)
    prefix, suffix = config.objective.specials(ids)
    around: dict[str, Any] = {"prefix": prefix, "suffix": suffix, "pad_id": ids.pad or 0}
    train = JoinedSplits([TokenSplit(path, "train") for path in tokens])
    packer = StreamPacker(train, config.context_length, seed=config.seed, **around)
    held_out = [TokenSplit(path, "validation") for path in tokens if (path / "validation").is_dir()]
    if not held_out:
        return Order(packer), None
    joined = JoinedSplits(held_out)
    scored = StreamPacker(joined, config.context_length, seed=None, **around)
    return Order(packer), Validation(scored, joined.num_bytes)


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
