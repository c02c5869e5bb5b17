"""Make a training on labelled rows ready, in every process: tokenizer, labels, model, encoded rows, feed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llmkit.core.adapter import base_digest
from llmkit.core.artifact import Build
from llmkit.core.console import Console
from llmkit.core.context import Context
from llmkit.core.hub import located
from llmkit.core.move import SCRATCH
from llmkit.core.page import percent
from llmkit.core.registry import Family
from llmkit.data.artifacts import Examples
from llmkit.data.clock import date_of, has_clock, set_date, today
from llmkit.data.encoding import Counts
from llmkit.data.packing import EncodedRows, RowBuckets
from llmkit.data.rendering import chosen_template, give_template, templates_in
from llmkit.data.rows import Row
from llmkit.data.templates.shipped import SHIPPED
from llmkit.data.unread import Unread
from llmkit.modeling.adapters import Base, Targets
from llmkit.modeling.architecture import position_limit
from llmkit.modeling.heads import head_of
from llmkit.modeling.load import check_positions, check_vocabulary, grow_embeddings, load_model, read_config
from llmkit.modeling.tokenizer import load_tokenizer
from llmkit.modeling.vocabulary import Vocabulary, vocabulary_of
from llmkit.objectives.rows import RowObjective
from llmkit.training.checks import check_rows, say_leaks
from llmkit.training.config import RowTrainingConfig
from llmkit.training.finish import check_templates
from llmkit.training.job import Job
from llmkit.training.rows import Encoder, encode, make_feed, notice
from llmkit.training.session import Prepared, Report
from llmkit.training.stops import prober

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.core.page import Page
    from llmkit.modeling.companions import Models
    from llmkit.work.engine import Engine

LABELS_SHOWN = 12
HELD = "held"
"""Folder of the rows to validate on, where they are data of their own."""
ALL = 1.0


@dataclass
class Rows:
    """The rows of a run, as far as this process has read them: only the first does.

    Attributes:
        kind: What they are.
        corpora: Folders of examples that hold them.
        held: Folders of those to validate on, where they are data of their own.
        noticed: What the objective has to know of all of them, such as labels, counted.
        counts: What became of them, for training and validation.
        checked: What else was found out of them, in numbers.
    """

    kind: Row
    corpora: list[Path] = field(default_factory=list)
    held: list[Path] = field(default_factory=list)
    noticed: Counter[Any] = field(default_factory=Counter)
    counts: dict[str, Counts] = field(default_factory=dict)
    checked: dict[str, Any] = field(default_factory=dict)

    def at(self, positions: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return the rows at some positions in the data that are validated on."""
        wanted = set(positions)
        every = (row for corpus in self.held or self.corpora for row in Examples(corpus).rows())
        return {position: row for position, row in enumerate(every) if position in wanted}


def ready(
    config: RowTrainingConfig,
    context: Context,
    build: Build,
    read: Callable[[Path], list[Path]],
    kind: Row,
    path: Path,
    named: str,
    engine: Engine,
    held: Callable[[Path], list[Path]] | None = None,
) -> Prepared:
    """Make everything ready; the first process reads and encodes the rows, and the others wait for it.

    Args:
        config: The run's.
        context: Its surroundings.
        build: Its build, in whose scratch folder the rows are kept.
        read: Reads the rows into folders of examples, given a folder to work in.
        kind: What the rows are.
        path: The directory that the model is read from.
        named: The model, as the user named it: what an adapter is trained on.
        engine: Workers.
        held: The same for the rows to validate on, where they are data of their own.
    """
    if config.objective.chats:
        from llmkit.data.templates.compiled import compile_template

        compile_template(chosen_template(templates_in(path), config.template))  # before anything is read
    place, rows = build.dir / SCRATCH, Rows(kind)
    place.mkdir(exist_ok=True)

    def settle() -> dict[str, Any]:
        rows.corpora += read(place)
        rows.held += held(_made(place / HELD)) if held is not None else []
        rows.noticed += notice([*rows.corpora, *rows.held], kind, config.objective)
        return config.objective.settle(kind, rows.noticed).record()

    spec = context.shared("objective", settle)
    objective = cast("RowObjective", Family("row_objective").parse(spec))
    config, tokenizer = fit(config, objective, path, context.console)
    vocabulary = vocabulary_of(tokenizer)
    objective.check(vocabulary)
    models, grown = _load(config, objective, vocabulary, path, tokenizer, context.console)
    targets, base = _wrap(config, objective, models, grown, named, context.console)

    longest = position_limit(models.main.config)
    encode_all = partial(
        _encode, config, objective, vocabulary, tokenizer, rows, place, engine, context.console, longest
    )
    num_rows = context.shared("rows", encode_all)["rows"]
    train, held_out = _encoded(place, own=held is not None)
    ends = objective.end_ids(tokenizer, train)
    stops = None
    if objective.chats and context.leads:
        stops = prober(models.main, tokenizer, held_out, ends, config.context_length, context.console)
    unread = rows.counts["validation"].unread if rows.counts else Unread()  # others than the leader write nothing
    _say_labels(rows.noticed, context.console)
    return Prepared(
        _job(config, objective, models, vocabulary, train, held_out, context, num_rows, unread),
        config,
        tokenizer,
        end_ids=ends,
        chat=objective.chats,
        suffix=", fine-tuned",
        facts={**_facts(config, kind, path), **objective.facts()},
        stops=stops,
        metrics=_metrics(objective, rows) if context.leads else {},
        resolved={"objective": spec, "row": kind.record()},
        report=_report(objective, rows, held_out) if objective.measured else None,
        adapter=config.adapter,
        targets=targets,
        base=base,
    )


def _encode(
    config: RowTrainingConfig,
    objective: RowObjective,
    vocabulary: Vocabulary,
    tokenizer: PreTrainedTokenizerFast,
    rows: Rows,
    place: Path,
    engine: Engine,
    console: Console,
    positions: int | None,
) -> dict[str, Any]:
    """Encode the rows into a folder, by the tokenizer as it is saved there; return how many there are to train on."""
    tokenizer.save_pretrained(place / "tokenizer")
    columns = objective.columns(vocabulary)
    encoder = Encoder(
        objective, rows.kind, columns, config.context_length, place / "tokenizer", tokenizer,
        overlength=config.overlength, positions=positions,
    )  # fmt: skip
    fraction = 0 if rows.held else config.validation_fraction
    rows.counts |= encode(rows.corpora, encoder, place / "rows", engine, console, fraction)
    if rows.held:
        counts = encode(rows.held, encoder, place / HELD / "rows", engine, console, ALL, side="validation")
        rows.checked |= say_leaks(rows.counts, counts, console)
        rows.counts["validation"] = counts["validation"]
    train, held_out = _encoded(place, own=bool(rows.held))
    rows.checked |= check_rows(train, held_out, objective, tokenizer, console, fraction=fraction)
    return {"rows": rows.counts["train"].rows}


def _encoded(place: Path, *, own: bool) -> tuple[EncodedRows, EncodedRows]:
    """Return the rows to train on, and those to validate on, which may be data of their own."""
    held = place / HELD / "rows" if own else place / "rows"
    return EncodedRows.open(place / "rows" / "train"), EncodedRows.open(held / "validation")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fit(
    config: RowTrainingConfig, objective: RowObjective, path: Path, console: Console
) -> tuple[RowTrainingConfig, PreTrainedTokenizerFast]:
    """Return the config with what the model decides, and the tokenizer as the model is served with it.

    A tokenizer gets a chat template where the objective needs one; else one to pad with, and it gives the types of
    tokens only to models that have several.
    """
    from llmkit.data.borders import mend_template

    tokenizer, shape = load_tokenizer(path), read_config(path)
    check_templates(tokenizer)  # rows are encoded by a copy of it, which is saved first
    if objective.chats:
        give_template(tokenizer, config.template, console.info)
        template = tokenizer.chat_template = chosen_template(tokenizer.chat_template)
        set_date(tokenizer, (config.date or today()) if has_clock(template) else None)
        if (date := date_of(tokenizer)) is not None:
            console.info(f"the chat template asks for the date: it is {date} in this run, whenever it goes on")
        mend_template(tokenizer, console.info)
    else:
        if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
            tokenizer.pad_token = tokenizer.eos_token
        if getattr(shape, "type_vocab_size", 0) < 2:
            tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    updates: dict[str, Any] = {} if config.limited else {"max_epochs": config.default_epochs}
    limit = position_limit(shape)
    if limit is not None and limit < config.context_length and "context_length" not in config.model_fields_set:
        updates |= {"context_length": limit, "batch_tokens": max(1, config.batch_tokens // limit) * limit}
    return config.model_copy(update=updates), tokenizer


def _load(
    config: RowTrainingConfig,
    objective: RowObjective,
    vocabulary: Vocabulary,
    path: Path,
    tokenizer: PreTrainedTokenizerFast,
    console: Console,
) -> tuple[Models, range]:
    """Load the model with the objective's head and those beside it, and check that it suits; return its new rows."""
    from llmkit.modeling.companions import have_companions
    from llmkit.modeling.isolation import check_isolation

    head = objective.model_head()
    pads = None if head.answer == "tokens" else vocabulary.padding
    model = load_model(path, head, seed=config.seed, pad_token_id=pads)
    if type(head_of(read_config(path))) is not type(head):
        console.info(f"the model gets a new head: {head.type_name}")
    if objective.layout == "pack":
        check_isolation(model)
    known = vocabulary_of(load_tokenizer(path)).size if config.template in SHIPPED else None
    grown = _grow(model, vocabulary, path, tokenizer, known, console)
    check_positions(model.config, config.context_length, path)
    return have_companions(model, objective.companions()), grown


def _grow(
    model: PreTrainedModel,
    vocabulary: Vocabulary,
    path: Path,
    tokenizer: PreTrainedTokenizerFast,
    known: int | None,
    console: Console,
) -> range:
    """Give tokens that were added to a tokenizer rows of the embedding, and return which; all others must have one.

    Where the tokenizer's size as the model knows it is given, rows behind it that are there already are new as well.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    if not set(range(rows, vocabulary.size)) <= tokenizer.added_tokens_decoder.keys():
        check_vocabulary(model, vocabulary.size, path)
    if count := grow_embeddings(model, vocabulary.size, known):
        console.info(f"the tokenizer has {count:,} added tokens that the model has no rows for: it gets them")
    return range(vocabulary.size - count, vocabulary.size)


def _wrap(
    config: RowTrainingConfig, objective: RowObjective, models: Models, grown: range, named: str, console: Console
) -> tuple[Targets | None, Base | None]:
    """Freeze what is not trained, after copies were made of the model, and say what is; None for all of it."""
    adapter = config.adapter
    adapter.wrap(models.main, objective.model_head(), seed=config.seed, grown=grown)
    if adapter.type_name == "full":
        return None, None
    targets = adapter.describe(models.main)
    console.info(targets.words)
    if grown and not adapter.is_apart:
        console.warn(f"adapter: {adapter.type_name} leaves the {len(grown):,} new rows of the embedding as they are")
    return targets, Base(named, base_digest(located(named))) if adapter.is_apart else None


def _job(
    config: RowTrainingConfig,
    objective: RowObjective,
    models: Models,
    vocabulary: Vocabulary,
    train: EncodedRows,
    held_out: EncodedRows,
    context: Context,
    num_rows: int,
    unread: Unread,
) -> Job:
    feed = make_feed(
        objective, train, held_out, context_length=config.context_length, batch_rows=config.batch_rows,
        seed=config.seed, pad_id=vocabulary.padding, unread=unread,
    )  # fmt: skip
    return Job(
        models,
        objective,
        vocabulary,
        objective.feed(feed, vocabulary, config.seed),
        config.batch_blocks if objective.layout == "pack" else config.batch_rows,
        resume_from=context.checkpoint,
        title="Fine-tuning report",
        facts={"rows": f"{num_rows:,}"},
    )


def _facts(config: RowTrainingConfig, kind: Row, path: Path) -> dict[str, str]:
    """Return what card and report say of the rows and of how they are written."""
    found = {"objective": f"{config.objective.type_name}, on rows of {kind.type_name}"}
    if config.objective.chats:
        own = f"the model's own, {config.template}" if config.template else "the model's own"
        found["chat template"] = own if templates_in(path) else "ChatML: the model had none"
    return found


def _metrics(objective: RowObjective, rows: Rows) -> dict[str, Any]:
    """Return what the manifest says of the rows."""
    train = rows.counts["train"]
    found: dict[str, Any] = {"rows": train.rows, "examples": train.examples}
    found |= {"targets": train.targets, "target": objective.target}
    found |= {"truncated": train.cut, "validation_rows": rows.counts["validation"].rows}
    found |= rows.checked
    found |= {f"left_out_{code}": number for code, number in train.left_out.items()}
    found |= {f"answers_{name}": number for name, number in train.notes.items()}
    if rows.noticed:
        found["labels"] = {str(name): number for name, number in rows.noticed.most_common()}
    return found


def _say_labels(noticed: Counter[Any], console: Console) -> None:
    """Say which labels there are, and how often always saying the most frequent would be right."""
    if len(noticed) < 2:
        return
    shown = [f"{name} {number:,}" for name, number in noticed.most_common(LABELS_SHOWN)]
    more = f" and {len(noticed) - LABELS_SHOWN:,} more" if len(noticed) > LABELS_SHOWN else ""
    name, number = noticed.most_common(1)[0]
    console.info(f"labels: {', '.join(shown)}{more}; {percent(number, noticed.total())} are '{name}'")


def _report(objective: RowObjective, rows: Rows, held_out: EncodedRows) -> Report:
    """Return what adds the objective's own part to the report, with the rows it picks out shown whole."""

    def report(page: Page, answers: Sequence[Any]) -> None:
        picked = objective.describe(answers, page)
        order = RowBuckets(held_out, seed=None).documents(0, [index for index, _ in picked])
        positions = held_out.positions[order].tolist()
        found: Mapping[int, dict[str, Any]] = rows.at(positions)
        for position, (_, caption) in zip(positions, picked, strict=True):
            shown = "\n".join(f"{name}: {text}" for name, text in rows.kind.show(found[position]))
            page.quote(f"row {position + 1:,}: {caption}", shown)

    return report
