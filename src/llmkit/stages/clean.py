"""clean: raw text of any kind to a corpus, with every dropped document explained."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from llmkit.cleaning.estimate import estimate
from llmkit.cleaning.losses import advice
from llmkit.cleaning.plan import check_order
from llmkit.cleaning.preview import take_preview
from llmkit.cleaning.preview_text import show_preview
from llmkit.cleaning.reading import check_failed, check_filled, check_unchanged, file_stamps, row_kind, say_what_rows
from llmkit.cleaning.report import notes_on, write_reports
from llmkit.cleaning.run import clean_inputs
from llmkit.cleaning.steps import Step
from llmkit.cleaning.steps.exact_duplicates import ExactDuplicates
from llmkit.cleaning.steps.length import Length
from llmkit.cleaning.steps.normalize import Normalize
from llmkit.cleaning.tally import UNREADABLE
from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.console import Console
from llmkit.core.context import Context, Result
from llmkit.core.errors import DataError, UserError
from llmkit.core.extras import require
from llmkit.core.found import WORDS, in_words, recognize
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact, read_manifest
from llmkit.core.page import percent, size
from llmkit.core.registry import Family
from llmkit.core.stage import Estimate, Facts, Stage
from llmkit.data.artifacts import Corpus
from llmkit.data.corpus import write_card
from llmkit.data.rows import Row
from llmkit.data.sources import RawFile, Source
from llmkit.work.engine import Engine, EngineName

_RULES_SHOWN = 8
_NO_TEXT = "--text-field names the column that holds the text, --row and --column those of labelled rows"
AnySource = Annotated[Source, Family("source", shorthand=("files", "path"))]
AnyStep = Annotated[Step, Family("step")]


class Config(BaseConfig):
    """Config of `llmkit clean`."""

    inputs: list[AnySource] = Field(min_length=1)
    """Where the raw text is: paths, source names, or sources with their fields, in the order of the output."""
    steps: list[AnyStep] = [Normalize(), Length(), ExactDuplicates()]
    """What is done to each document, in this order."""
    workers: Annotated[int | None, NotIdentity] = Field(None, ge=1)
    """Worker processes; null for one per core, no more than there are tasks of 8 MB."""
    engine: Annotated[EngineName, NotIdentity] = "local"
    """Where the tasks run: local processes, or a Ray cluster (`RAY_ADDRESS`). The output is the same."""


class Clean(Stage[Config]):
    """Raw text to a corpus."""

    name, version, config, resumable = "clean", 6, Config, True

    def check(self, config: Config) -> None:
        """Find out what is wrong with the steps, without reading the inputs.

        Raises:
            ConfigError: A step is out of place or lacks what it needs.
            DataError: A file that a step reads is not there.
            SetupError: An extra that a step needs is not installed.
        """
        _step_files(config)

    def make(self, config: Config, context: Context) -> Result:
        """Clean the inputs into a corpus or, where the sources give labelled rows, into examples."""
        row = row_kind(config.inputs, "inputs")
        step_files = _step_files(config)
        inputs = [(source, source.files()) for source in config.inputs]
        check_filled([file for _, files in inputs for file in files])
        stamps = file_stamps(file for _, files in inputs for file in files)
        described = Inputs()
        for source, files in inputs:
            if read_manifest(Path(source.root())) is None:
                described.add_files(source.root(), files, role=source.type_name)
            else:  # a corpus of ours: lineage goes on through it
                described.add_artifact(source.root(), ("corpus", "examples"), role=source.type_name)
        for step, files in zip(config.steps, step_files, strict=True):
            if files:
                described.add_files(files[0].path, files, role=step.type_name)
        with self.build(config, described, context) as build:
            if build.finished:
                failed = build.finished.manifest.metric("documents_failed")
                if context.strict and failed:
                    raise DataError(
                        f"{build.out} was made with {failed:,} unreadable rows left out", hint="see its report.html"
                    )
                read = build.finished.manifest.metric("documents_read")
                check_failed(failed, read, context.max_failed, str(build.out))
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            say_what_rows(config.inputs, "inputs", context.console)
            return _clean(config, context, build, inputs, stamps, row)

    def preview(self, config: Config, count: int, console: Console) -> None:
        """Show what the steps do to a few random documents; write nothing."""
        row_kind(config.inputs, "inputs")
        say_what_rows(config.inputs, "inputs", console)
        self.check(config)
        found = take_preview([(source, source.files()) for source in config.inputs], config.steps, count)
        if console.json_mode:
            console.print_json(found.as_json())
        else:
            show_preview(found, console)

    def plan(self, config: Config, num_processes: int) -> Estimate:  # noqa: ARG002 - workers are the config's
        """Work out tasks, passes and the disk they need, from the sizes of the inputs and their first rows."""
        row_kind(config.inputs, "inputs")
        return estimate([(source, source.files()) for source in config.inputs], config.steps)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return label and value pairs that say what the artifact holds and why documents fell."""
        metrics = artifact.manifest.metrics
        kept, read = metrics["documents_kept"], metrics["documents_read"]
        rules = [f"{rule} {count:,}" for rule, count in metrics["rules"].items()]
        if len(rules) > _RULES_SHOWN:
            rules[_RULES_SHOWN - 1 :] = [f"{len(rules) - _RULES_SHOWN + 1} more rules"]
        rows = [
            ("documents", f"{kept:,} kept of {read:,} ({percent(kept, read)})"),
            ("fell", ", ".join(rules) or "none"),
            ("text", f"{size(metrics['bytes_kept'])} of {size(metrics['bytes_read'])}"),
        ]
        if metrics["held_out_at_source"]:
            rows.append(("held out", f"{metrics['held_out_at_source']:,} at the source, for evaluation"))
        return [*rows, ("report", str(Corpus(artifact.path).report))]


STAGE = Clean()


def _step_files(config: Config) -> list[list[RawFile]]:
    """Return the files that each step reads, having checked the steps; errors name the step by its dotted path."""
    found = []
    check_order(config.steps)
    for position, step in enumerate(config.steps):
        try:
            if needed := step.needs():
                require(*needed)
            paths = step.reads()
        except UserError as error:
            name = f"{step.type_name}."
            where = "." if error.message.startswith(name) else ": "
            raise type(error)(f"steps.{position}{where}{error.message.removeprefix(name)}", error.hint) from error
        found.append([RawFile(str(path.absolute()), path.name, path.stat().st_size) for path in paths])
    return found


def _no_text(inputs: list[tuple[Source, list[RawFile]]], row: Row | None) -> str:
    """Say how rows are read of which none has a text: as what the first file looks like."""
    if row is not None:
        return _NO_TEXT
    first = next((file.path for _, files in inputs for file in files if not file.digest), "")
    found = recognize(first) if first else None
    labelled = found is not None and found not in WORDS
    return f"they look like {in_words(found)}: --row auto reads them" if found and labelled else _NO_TEXT


def _clean(
    config: Config,
    context: Context,
    build: Build,
    inputs: list[tuple[Source, list[RawFile]]],
    stamps: Mapping[str, tuple[int, int]],
    row: Row | None,
) -> Result:
    kind = "corpus" if row is None else "examples"
    with Engine(config.engine, config.workers) as engine:
        tally, bytes_kept = clean_inputs(inputs, config.steps, row, build.dir, build.scratch, engine, context)
    check_unchanged(stamps, (file for _, files in inputs for file in files))
    for message in tally.broken:
        context.console.warn(message)
    if tally.rules[UNREADABLE] > len(tally.broken):
        context.console.warn(f"and {tally.rules[UNREADABLE] - len(tally.broken):,} more unreadable rows")
    total = tally.total()
    if total.kept == 0:
        fell = ", ".join(f"{rule} {count:,}" for rule, count in tally.rules.most_common(4))
        why = f"all {total.rows:,} rows fell ({fell})" if total.rows else "the input has no rows"
        hint = _no_text(inputs, row)
        if total.rejected:
            hint = "llmkit clean ... --preview 20 shows what becomes of 20 documents"
        if not total.rows:
            hint = f"head {next(iter(tally.files), 'FILE')} shows what is there"
        if total.rejected and (suits := advice(tally.rules.most_common(1)[0][0])):
            hint = f"{hint}; {suits}"
        raise DataError(f"no documents left: {why}", hint=hint)
    check_failed(total.failed, total.rows, context.max_failed)
    held_out = sum(source.left_out() for source in config.inputs)
    # Of a run that was killed in the middle of its reports.
    shutil.rmtree(build.dir / Corpus.REJECTED, ignore_errors=True)
    write_reports(build.dir, tally, config.steps, bytes_kept=bytes_kept, held_out=held_out)
    write_card(
        build.dir, kind=kind, num_documents=total.kept, num_bytes=bytes_kept, sources=dict(tally.sources), row=row
    )
    metrics = {
        "documents_read": total.rows,
        "documents_kept": total.kept,
        "documents_rejected": total.rejected,
        "documents_failed": total.failed,
        "held_out_at_source": held_out,
        "bytes_read": tally.bytes_read,
        "bytes_kept": bytes_kept,
        "rules": dict(tally.rules.most_common()),
    }
    details = {} if row is None else {"row": row.record()}
    artifact = build.finish(kind, payload=Corpus.PAYLOAD, metrics=metrics, details=details)
    return Result(artifact, notes=notes_on(config.steps, tally))
