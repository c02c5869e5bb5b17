"""clean: raw text of any kind to a corpus, with every dropped document explained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from llmkit.cleaning.plan import make_tasks, merge, run_task
from llmkit.cleaning.report import UNREADABLE, Tally, write_reports
from llmkit.cleaning.steps import Step
from llmkit.cleaning.steps.exact_duplicates import ExactDuplicates
from llmkit.cleaning.steps.length import Length
from llmkit.cleaning.steps.normalize import Normalize
from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact, read_manifest
from llmkit.core.registry import Family
from llmkit.data.corpus import CorpusWriter, write_card
from llmkit.data.engine import EngineName, map_tasks
from llmkit.data.sources import RawFile, Source

VERSION = 1
AnySource = Annotated[Source, Family("source", shorthand=("files", "path"))]
AnyStep = Annotated[Step, Family("step")]


class Config(BaseConfig):
    """Config of `llmkit clean`."""

    inputs: list[AnySource] = Field(min_length=1)
    """Where the raw text is: paths, source names, or sources with their fields, in the order of the output."""
    steps: list[AnyStep] = [Normalize(), Length(), ExactDuplicates()]
    """What is done to each document, in this order."""
    workers: Annotated[int | None, NotIdentity] = Field(None, ge=1)
    """Worker processes; null for one per core, no more than there are tasks of 16 MB."""
    engine: Annotated[EngineName, NotIdentity] = "local"
    """Where the tasks run: local processes, or a Ray cluster (`RAY_ADDRESS`). The output is the same."""


def run(config: Config, context: Context) -> Result:
    """Clean the inputs into a corpus or, where the sources give labelled rows, into examples."""
    kinds = {source.kind() for source in config.inputs}
    if len(kinds) > 1:
        raise ConfigError("inputs: some give a corpus and some give examples; clean them into two outputs")
    inputs = [(source, source.files()) for source in config.inputs]
    described = Inputs()
    for source, files in inputs:
        if read_manifest(Path(source.root())) is None:
            described.add_files(source.root(), files, role=source.type_name)
        else:  # a corpus of ours: lineage goes on through it
            described.add_artifact(source.root(), ("corpus", "examples"), role=source.type_name)
    with context.build("clean", VERSION, config, described) as build:
        if build.finished:
            failed = build.finished.manifest.metrics["documents_failed"]
            if context.strict and failed:
                raise DataError(
                    f"{build.out} was made with {failed:,} unreadable rows left out", hint="see its report.html"
                )
            return Result(build.finished, up_to_date=True)
        context.announce(build)
        return _clean(config, context, build, inputs, kinds.pop())


def _clean(
    config: Config, context: Context, build: Build, inputs: list[tuple[Source, list[RawFile]]], kind: str
) -> Result:
    tasks = make_tasks(inputs, config.steps, build.scratch, strict=context.strict)
    tally = Tally()
    with context.console.progress("cleaning", total=sum(t.num_bytes for t in tasks) / 1e6, unit="MB") as progress:
        results = map_tasks(run_task, tasks, workers=config.workers, engine=config.engine)
        for task, counts in zip(tasks, results, strict=True):
            tally.add(counts)
            progress.advance(task.num_bytes / 1e6)
    writer = CorpusWriter(build.dir, kind)
    for _ in merge(tasks, config.steps, writer, tally):
        pass
    writer.close()
    for message in tally.broken:
        context.console.warn(message)
    if tally.rules[UNREADABLE] > len(tally.broken):
        context.console.warn(f"and {tally.rules[UNREADABLE] - len(tally.broken):,} more unreadable rows")
    total = tally.total()
    if total.kept == 0:
        fell = ", ".join(f"{rule} {count:,}" for rule, count in tally.rules.most_common(4))
        why = f"all {total.rows:,} rows fell ({fell})" if total.rows else "the input has no rows"
        raise DataError(f"no documents left: {why}", hint="llmkit clean ... --dry-run shows the steps")
    held_out = sum(source.left_out() for source in config.inputs)
    write_reports(build.dir, tally, config.steps, bytes_kept=writer.num_bytes, held_out=held_out)
    write_card(build.dir, kind=kind, num_documents=total.kept, num_bytes=writer.num_bytes, sources=dict(tally.sources))
    metrics = {
        "documents_read": total.rows,
        "documents_kept": total.kept,
        "documents_rejected": total.rejected,
        "documents_failed": total.failed,
        "held_out_at_source": held_out,
        "bytes_read": tally.bytes_read,
        "bytes_kept": writer.num_bytes,
        "rules": dict(tally.rules.most_common()),
    }
    artifact = build.finish(kind, payload=["data-*.parquet"], metrics=metrics)
    return Result(artifact, notes=_notes(config.steps, tally, total.rows))


def summarize(artifact: Artifact) -> list[tuple[str, str]]:
    """Return label and value pairs that say what the artifact holds and why documents fell."""
    metrics = artifact.manifest.metrics
    fell = ", ".join(f"{rule} {count:,}" for rule, count in metrics["rules"].items()) or "none"
    rows = [
        ("documents", f"{metrics['documents_kept']:,} kept of {metrics['documents_read']:,}"),
        ("fell", fell),
        ("text", f"{metrics['bytes_kept'] / 1e6:,.2f} MB of {metrics['bytes_read'] / 1e6:,.2f} MB"),
    ]
    if metrics["held_out_at_source"]:
        rows.append(("held out", f"{metrics['held_out_at_source']:,} at the source, for evaluation"))
    return [*rows, ("report", str(artifact.path / "report.html"))]


def _notes(steps: Sequence[Step], tally: Tally, num_rows: int) -> list[str]:
    """Point out steps that did nothing, and steps that dropped over half."""
    notes = []
    for position, step in enumerate(steps):
        changed, dropped = tally.steps_changed[position], tally.steps_dropped[position]
        if changed == dropped == 0:
            notes.append(f"note: step {position} ({step.type_name}) neither changed nor dropped a document")
        elif dropped > num_rows / 2:
            notes.append(f"note: step {position} ({step.type_name}) dropped {dropped / num_rows:.0%} of all documents")
    return notes
