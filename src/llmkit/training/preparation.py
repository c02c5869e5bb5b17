"""Make a training on labelled rows ready, in every process: tokenizer, labels, model, encoded rows, feed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llmkit.core.artifact import Build
from llmkit.core.console import Console
from llmkit.core.context import Context
from llmkit.core.move import SCRATCH
from llmkit.core.page import percent
from llmkit.core.registry import Family
from llmkit.data.artifacts import Examples
from llmkit.data.encoding import Counts
from llmkit.data.packing import EncodedRows, RowBuckets
from llmkit.data.rendering import chosen_template, templates_in
from llmkit.data.rows import Row
from llmkit.data.unread import Unread
from llmkit.modeling.architecture import position_limit
from llmkit.modeling.vocabulary import Vocabulary, vocabulary_of
from llmkit.objectives.rows import RowObjective
from llmkit.training.base_model import fit, lies_apart, load, wrap
from llmkit.training.checks import check_rows, say_leaks
from llmkit.training.config import RowTrainingConfig
from llmkit.training.job import Job
from llmkit.training.rows import Encoder, encode, make_feed, notice
from llmkit.training.session import Prepared, Report
from llmkit.training.stops import prober

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

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
    spec = context.shared("objective", partial(_settle, config, context.console, rows, read, held, path, place))
    objective = cast("RowObjective", Family("row_objective").parse(spec))
    config, tokenizer = fit(config, objective, path, context.console)
    vocabulary = vocabulary_of(tokenizer)
    objective.check(vocabulary)
    models, grown = load(config, objective, vocabulary, path, tokenizer, context.console)
    if changed := objective.equip(models.main, tokenizer):
        context.console.warn(f"the model's generation config loses {', '.join(changed)}: the targets are not so")
    targets, base = wrap(config, objective, models, grown, named, context.console)

    longest = position_limit(models.main.config)
    encode_all = partial(
        _encode, config, objective, vocabulary, tokenizer, rows, place, engine, context.console, longest
    )
    num_rows = context.shared("rows", encode_all)["rows"]
    train, held_out = _encoded(place, own=held is not None)
    ends = objective.end_ids(tokenizer, train)
    asks = objective.chats and objective.learns_answers and context.leads
    unread = rows.counts["validation"].unread if rows.counts else Unread()  # others than the leader write nothing
    if objective.labelled:
        _say_labels(rows.noticed, context.console)
    return Prepared(
        _job(config, objective, models, vocabulary, tokenizer, train, held_out, context, num_rows, unread),
        config,
        tokenizer,
        end_ids=ends,
        chat=objective.chats,
        suffix=", fine-tuned",
        facts={**_facts(config, kind, path), **objective.facts()},
        stops=prober(models.main, tokenizer, held_out, ends, config.context_length, context.console) if asks else None,
        metrics=_metrics(objective, rows) if context.leads else {},
        resolved={"objective": spec, "row": kind.record()},
        report=_report(objective, rows, held_out) if objective.measured else None,
        adapter=config.adapter,
        targets=targets,
        base=base,
        merge=config.merge,
    )


def _settle(
    config: RowTrainingConfig,
    console: Console,
    rows: Rows,
    read: Callable[[Path], list[Path]],
    held: Callable[[Path], list[Path]] | None,
    path: Path,
    place: Path,
) -> dict[str, Any]:
    """Read the rows into a folder, and return the record of the objective with what it takes from all of them."""
    begun = config.objective.of_model(path)
    fraction = 0 if held is not None else config.validation_fraction
    rows.corpora += begun.add_rows(read(place), rows.kind, path, place, fraction, console)
    rows.held += held(_made(place / HELD)) if held is not None else []
    rows.noticed += notice([*rows.corpora, *rows.held], rows.kind, begun)
    return begun.settle(rows.kind, rows.noticed).record()


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


def _job(
    config: RowTrainingConfig,
    objective: RowObjective,
    models: Models,
    vocabulary: Vocabulary,
    tokenizer: PreTrainedTokenizerFast,
    train: EncodedRows,
    held_out: EncodedRows,
    context: Context,
    num_rows: int,
    unread: Unread,
) -> Job:
    feed = make_feed(
        objective, train, held_out, context_length=config.context_length, batch_rows=config.batch_rows,
        seed=config.seed, pad_id=vocabulary.padding, apart=lies_apart(objective, config.adapter), unread=unread,
    )  # fmt: skip
    return Job(
        models,
        objective,
        vocabulary,
        objective.feed(feed, vocabulary, config.seed),
        config.batch_blocks if feed.same_width else config.batch_rows,
        resume_from=context.checkpoint,
        title="Fine-tuning report",
        facts={"rows": f"{num_rows:,}"},
        tokenizer=tokenizer,
        ends=objective.end_ids(tokenizer, train),
        questions=objective.questions(held_out, position_limit(models.main.config) or config.context_length),
    )


def _facts(config: RowTrainingConfig, kind: Row, path: Path) -> dict[str, str]:
    """Return what card and report say of the rows and of how they are written."""
    found = {"objective": f"{config.objective.type_name}, on rows of {kind.type_name}"}
    if config.objective.chats:
        templates, name = templates_in(path), config.template
        if not templates:
            found["chat template"] = f"{name or 'chatml'}: the model had none"
        elif name is not None and name not in templates:
            found["chat template"] = f"{name}, instead of the model's own"
        else:
            found["chat template"] = f"the model's own, {name}" if name else "the model's own"
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
    if rows.noticed and objective.labelled:
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
