"""finetune: train a model further on labelled rows; on chat messages with the loss on the assistant's tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
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
from llmkit.core.stage import Estimate, Facts, Stage
from llmkit.data.artifacts import Examples, Model
from llmkit.modeling.build import ModelConfig
from llmkit.modeling.load import check_positions, check_vocabulary, count_parameters, load_model
from llmkit.modeling.tokenizer import load_tokenizer
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows import RowObjective
from llmkit.objectives.rows.sft import SFT
from llmkit.stages.pretrain import NO_DATA, summarize, training_facts
from llmkit.training.config import TrainingConfig
from llmkit.training.resume import add_checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.vocabulary import Vocabulary
    from llmkit.training.job import Job

DOCUMENTS = (
    "document_objective",
    "reads packed documents, not rows; llmkit pretrain --model DIR goes on with a model on documents",
)
Rows = list[tuple["NDArray[Any]", "NDArray[Any]"]]


class Config(TrainingConfig):
    """Config of `llmkit finetune`."""

    data: Annotated[list[str], NotIdentity] = Field(min_length=1)
    """Examples artifacts."""
    model: Annotated[str, NotIdentity]
    """Directory of the model to start from."""
    objective: Annotated[RowObjective, Family("row_objective", elsewhere=DOCUMENTS)] = SFT()
    """What the model is trained to do."""
    validation_fraction: float = Field(0.02, ge=0, lt=1)
    """Share of the rows, by a hash of their text, that training never sees and validates on."""


@dataclass
class Encoded:
    """Rows of one side, encoded.

    Attributes:
        rows: ids and labels of each row.
        num_bytes: UTF-8 bytes of what the assistant says.
        truncated: Rows cut at the context length.
        unsupervised: Rows left out, because nothing of the assistant is left within the context.
        literal: Rows left out, because a special token stands literally in a message.
        refused: Rows left out, because the chat template cannot render them, each with the reason.
        tokens: Targets in all.
    """

    rows: Rows
    num_bytes: int = 0
    truncated: int = 0
    unsupervised: int = 0
    literal: int = 0
    refused: list[str] = field(default_factory=list)
    tokens: int = 0


def run(config: Config, context: Context) -> Result:
    """Fine-tune a model."""
    inputs = Inputs()
    data = [inputs.add_artifact(path, "examples", role="data") for path in config.data]
    model = inputs.add_directory(config.model, Model.KINDS, role="model")
    add_checkpoint(context, inputs)
    with STAGE.build(config, inputs, context) as build:
        if build.finished:
            return Result(build.finished, up_to_date=True)
        context.announce(build)
        return _finetune(config, context, build, data, model)


def _finetune(config: Config, context: Context, build: Build, data: list[Path], path: Path) -> Result:
    from llmkit.data.chat import ensure_template
    from llmkit.modeling.isolation import check_isolation
    from llmkit.training.finish import save_model, training_metrics, write_card
    from llmkit.training.loop import Trainer
    from llmkit.training.memory import out_of_memory_explained
    from llmkit.training.report import write_report

    model, tokenizer = load_model(path, auto_class=config.objective.auto_class), load_tokenizer(path)
    if ensure_template(tokenizer):
        context.console.info("the tokenizer has no chat template: it gets the ChatML one")
    vocabulary = vocabulary_of(tokenizer)
    check_isolation(model)
    check_vocabulary(model, vocabulary.size, path)
    check_positions(model.config, config.context_length, path)
    train, validation = _encode(config, data, tokenizer)
    _report_rows(context, train)
    job = _job(config, context, model, vocabulary, train, validation)
    with out_of_memory_explained(config):
        state = Trainer(job, config, build.dir, context.console).train()
    if not context.leads:
        return Result(build.finish("model", payload=Model.PAYLOAD, metrics={}))
    end_ids = _end_ids(tokenizer, train.rows)
    save_model(build.dir, model, tokenizer, context_length=config.context_length, end_ids=end_ids)
    size = count_parameters(model)
    rows = {"rows": len(train.rows), "targets": train.tokens, "truncated": train.truncated}
    left_out = {
        "left_out_unsupervised": train.unsupervised,
        "left_out_literal_special": train.literal,
        "left_out_refused": len(train.refused),
    }
    metrics = {"parameters": size, **rows, **left_out, **training_metrics(build.dir), "ended": state.ended}
    facts = training_facts(metrics)
    write_card(build.dir, title=f"{model.config.model_type} {size / 1e6:.1f}M, fine-tuned", facts=facts, chat=True)
    write_report(build.dir, title="Fine-tuning report", facts=facts)
    return Result(build.finish("model", payload=Model.PAYLOAD, metrics=metrics, resolved=state.resolved))


def _job(
    config: Config,
    context: Context,
    model: PreTrainedModel,
    vocabulary: Vocabulary,
    train: Encoded,
    validation: Encoded,
) -> Job:
    from llmkit.data.order import Order
    from llmkit.data.packing import RowPacker
    from llmkit.training.job import Job, Validation

    pad = vocabulary.pad or 0
    packer = RowPacker(train.rows, config.context_length, seed=config.seed, pad_id=pad)
    scored = None
    if validation.rows:
        held_out = RowPacker(validation.rows, config.context_length, seed=None, pad_id=pad)
        scored = Validation(held_out, validation.num_bytes)
    return Job(
        model,
        config.objective,
        vocabulary,
        Order(packer),
        scored,
        resume_from=context.checkpoint,
        title="Fine-tuning report",
        facts={"rows": f"{len(train.rows):,}"},
    )


def _encode(config: Config, data: list[Path], tokenizer: PreTrainedTokenizerFast) -> tuple[Encoded, Encoded]:
    """Encode all rows into a training and a validation side."""
    from llmkit.data.split import split_of

    sides = {"train": Encoded([]), "validation": Encoded([])}
    for path in data:
        for row in Examples(path).rows():
            side = split_of(row["text"], validation_fraction=config.validation_fraction, test_fraction=0)
            _encode_row(row, config, tokenizer, sides[side])
    train = sides["train"]
    if not train.rows:
        raise DataError(
            f"data: no row is left to train on ({train.unsupervised:,} have no assistant tokens within the context,"
            f" {train.literal:,} hold special tokens, {len(train.refused):,} the chat template cannot render"
            + (f": {train.refused[0]})" if train.refused else ")"),
            hint="raise context_length, or check the data",
        )
    return train, sides["validation"]


def _encode_row(row: dict[str, Any], config: Config, tokenizer: PreTrainedTokenizerFast, side: Encoded) -> None:
    from llmkit.data.chat import literal_special
    from llmkit.data.packing import IGNORED

    if literal_special(tokenizer, row["messages"]) is not None:
        side.literal += 1
        return
    try:
        ids, labels = config.objective.encode(row, tokenizer)
    except DataError as error:
        side.refused.append(error.message)
        return
    num_bytes = sum(len(m["content"].encode("utf-8")) for m in row["messages"][1:] if m["role"] == "assistant")
    if len(ids) > config.context_length:
        side.truncated += 1
        ids, labels = ids[: config.context_length], labels[: config.context_length]
        num_bytes = len(tokenizer.decode(labels[labels != IGNORED], skip_special_tokens=True).encode("utf-8"))
    targets = int((labels != IGNORED).sum())
    if targets == 0:
        side.unsupervised += 1
        return
    side.rows.append((ids, labels))
    side.tokens += targets
    side.num_bytes += num_bytes


def _report_rows(context: Context, train: Encoded) -> None:
    """Say what happened to rows that could not be used as they are; nothing is cut in silence."""
    if train.truncated:
        context.console.warn(f"{train.truncated:,} rows are longer than context_length and were cut")
    if train.unsupervised:
        context.console.warn(f"{train.unsupervised:,} rows were left out: no assistant tokens within context_length")
    if train.literal:
        context.console.warn(f"{train.literal:,} rows were left out: a message holds a special token literally")
    if train.refused:
        context.console.warn(f"{len(train.refused):,} rows were left out: {train.refused[0]}")


def _end_ids(tokenizer: PreTrainedTokenizerFast, rows: Rows) -> list[int]:
    """Return the tokens at which generation stops: EOS, and what the template ends the assistant's turn with."""
    ids = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    last = {int(labels[labels >= 0][-1]) for _, labels in rows[:100]}
    return ids + sorted((last & special) - set(ids))


class Finetune(Stage[Config]):
    """A model and labelled rows to a model."""

    name, version, config, resumable = "finetune", 1, Config, True
    kept = Model.KEPT
    stand_ins = {"data": [NO_DATA]}

    def check(self, config: Config) -> None:
        """Check that the trackers are installed."""
        from llmkit.training.trackers import check_trackers

        check_trackers(config.trackers)

    def make(self, config: Config, context: Context) -> Result:
        """Fine-tune a model."""
        return run(config, context)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return label and value pairs: size, training, validation, speed."""
        return summarize(artifact)

    def plan(self, config: Config, num_processes: int) -> Estimate:
        """Work out parameters, FLOPs, memory, time and disk; rows are not encoded, so epochs have no length."""
        from llmkit.training.estimate import estimate

        found = estimate(config, ModelConfig(path=config.model), config.objective, [], num_processes)
        if found.values["steps"] is None:
            found.warnings.append("rows are counted when they are encoded: max_steps or max_tokens would say how many")
        return found


STAGE = Finetune()
