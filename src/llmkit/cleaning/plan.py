"""The plan of a cleaning run: passes over tasks that are cut by bytes, with a survey between two passes.

A pass takes every task's documents through the steps up to the next ones that compare documents with each other, and
records what those want to know. They decide, bucket by bucket, and the next pass carries out what they decided. Tasks
and jobs are repeatable and done once: a run that was killed goes on where it was. Nothing depends on who did the work:
tasks are cut by input bytes, joined in the order of the input, and documents are told apart by their ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmkit.cleaning.spool import spool_file
from llmkit.cleaning.steps import GlobalStep, Order, Step
from llmkit.cleaning.survey import Survey
from llmkit.core.errors import ConfigError
from llmkit.core.inputs import RawFile
from llmkit.data.sources import Source, Span
from llmkit.data.sources._streams import CODECS
from llmkit.work.engine import Engine
from llmkit.work.once import run_plan

TASK_BYTES = 8 * 2**20
"""Raw bytes per task."""
SPOOL_BYTES = 4 * 2**20
"""A compressed file of more bytes, which cannot be cut, is read once into chunks for several workers."""
BUCKET_INPUT_BYTES = 256 * 2**20
"""Raw bytes per bucket of a survey: their records take about half of that in memory."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What a task reads: a file, a span of one, or a chunk that was spooled from one.

    Attributes:
        source: Where the file belongs.
        file: The file.
        num_bytes: Bytes to read.
        span: Which part of the file; None for all.
        chunk: The spooled rows, instead of the file.
        occurrence: How many earlier inputs have a file of this name: part of the ids, so that two inputs of equal
            names and rows do not share them.
    """

    source: Source
    file: RawFile
    num_bytes: int
    span: Span | None = None
    chunk: Path | None = None
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """Pieces of one source that one worker takes through a pass.

    Attributes:
        number: Position in the plan.
        pieces: What to read, in order.
    """

    number: int
    pieces: tuple[Piece, ...]

    @property
    def num_bytes(self) -> int:
        """Raw bytes to read."""
        return sum(piece.num_bytes for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Placed:
    """A step and its position in the config, which the report counts by."""

    position: int
    step: Step


@dataclass(frozen=True, slots=True)
class Pass:
    """One walk over all documents.

    Attributes:
        number: Position in the plan.
        verdicts: Global steps that have decided: their verdicts are carried out first, in this order.
        steps: Steps on each document alone.
        records: Global steps that record what they see after those steps.
    """

    number: int
    verdicts: tuple[tuple[Placed, Survey], ...]
    steps: tuple[Placed, ...]
    records: tuple[tuple[Placed, Survey], ...]


def make_tasks(inputs: Sequence[tuple[Source, list[RawFile]]], engine: Engine, scratch: Path) -> list[Task]:
    """Cut the inputs into tasks by their bytes, never by the number of workers."""
    tasks: list[Task] = []
    for pieces in _by_source(inputs, engine, scratch):
        group: list[Piece] = []
        size = 0
        for piece in pieces:
            if group and size + piece.num_bytes > TASK_BYTES:
                tasks.append(Task(len(tasks), tuple(group)))
                group, size = [], 0
            group.append(piece)
            size += piece.num_bytes
        if group:
            tasks.append(Task(len(tasks), tuple(group)))
    return tasks


def _by_source(inputs: Sequence[tuple[Source, list[RawFile]]], engine: Engine, scratch: Path) -> Iterator[list[Piece]]:
    seen: Counter[str] = Counter()
    wholes: list[list[Piece]] = []
    for source, files in inputs:
        pieces: list[Piece] = []
        for file in files:
            spans = source.spans(file, TASK_BYTES)
            if len(spans) <= 1:
                pieces.append(Piece(source, file, file.num_bytes, occurrence=seen[file.name]))
            else:
                pieces += [Piece(source, file, s.num_bytes, span=s, occurrence=seen[file.name]) for s in spans]
        seen.update({file.name for file in files})
        wholes.append(pieces)
    large = [p for pieces in wholes for p in pieces if p.span is None and p.num_bytes > _most_at_once(p.file)]
    folders = [scratch / "spool" / f"{i:06}" for i in range(len(large))]
    jobs = [(piece.source, piece.file, folder, TASK_BYTES) for piece, folder in zip(large, folders, strict=True)]
    sizes = list(run_plan(engine, spool_file, jobs, scratch / "spool" / "done"))
    chunks = {
        id(piece): [
            Piece(piece.source, piece.file, size, chunk=folder / f"{i:06}", occurrence=piece.occurrence)
            for i, size in enumerate(size_list)
        ]
        for piece, folder, size_list in zip(large, folders, sizes, strict=True)
    }
    for pieces in wholes:
        yield [part for piece in pieces for part in chunks.get(id(piece), [piece])]


def _most_at_once(file: RawFile) -> int:
    """Return the size above which a file that cannot be cut is spooled: compressed text is several times as much."""
    return SPOOL_BYTES if file.path.lower().endswith(CODECS) else TASK_BYTES


def check_order(steps: Sequence[Step]) -> None:
    """Check that nothing follows a step that puts the documents in order.

    Raises:
        ConfigError: Something does.
    """
    for position, step in enumerate(steps[:-1]):
        if isinstance(step, Order):
            raise ConfigError(
                f"steps.{position}: {step.type_name} has to be the last step, and is followed by"
                f" {steps[position + 1].type_name}"
            )


def make_passes(steps: Sequence[Step], num_tasks: int, num_bytes: int, scratch: Path) -> list[Pass]:
    """Cut the steps into passes: each ends with global steps, the last one writes."""
    check_order(steps)
    num_buckets = 1 + num_bytes // BUCKET_INPUT_BYTES
    passes: list[Pass] = []
    alone: list[Placed] = []
    together: list[tuple[Placed, Survey]] = []
    verdicts: tuple[tuple[Placed, Survey], ...] = ()

    def close() -> None:
        nonlocal verdicts
        passes.append(Pass(len(passes), verdicts, tuple(alone), tuple(together)))
        verdicts = tuple(together)
        alone.clear()
        together.clear()

    for position, step in enumerate(steps):
        if isinstance(step, Order):
            continue  # the last one: see how the corpus is written
        if isinstance(step, GlobalStep):
            before = tuple(survey for _, survey in together)
            ids = scratch / "ids" / f"{len(passes)}"
            survey = Survey(scratch / f"step-{position}", ids, num_tasks, num_buckets, before)
            together.append((Placed(position, step), survey))
            if step.edits:
                close()
        else:
            if together:
                close()
            alone.append(Placed(position, step))
    if together or not passes:
        close()
    passes.append(Pass(len(passes), verdicts, tuple(alone), ()))
    return passes
