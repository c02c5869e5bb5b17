"""Encode labelled rows once, on workers, into memory-mapped columns.

A plan of repeatable tasks over row groups: each leaves its share of the training and the validation rows, which are
joined in the order of the data. A run that was killed goes on where it was.
"""

from __future__ import annotations

import shutil
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llmkit.data.artifacts import Examples
from llmkit.data.artifacts.corpus import read_rows, shard_metadata
from llmkit.data.packing.encoded import (
    Column,
    EncodedRows,
    Example,
    LeftOut,
    Outcome,
    examples_of,
    save_joined,
)
from llmkit.data.split import Split, key_of, split_of_key
from llmkit.data.unread import Unread
from llmkit.work.allocator import give_back_freed_memory
from llmkit.work.once import run_once, run_plan

if TYPE_CHECKING:
    from llmkit.core.console import Console
    from llmkit.work.engine import Engine

TASK_ROWS = 1024
"""Rows per task, about: row groups are not cut."""
BATCH_ROWS = 256
"""Rows encoded at a time."""
SIDES: tuple[Split, ...] = ("train", "validation")


class RowEncoder(Protocol):
    """Turns rows into examples; it travels to workers."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns of every example."""

    def encode(self, rows: Sequence[dict[str, Any]]) -> Sequence[Outcome]:
        """Return what becomes of each row."""


@dataclass(frozen=True)
class Piece:
    """Some row groups of one file.

    Attributes:
        path: A Parquet file of examples.
        groups: Its row groups.
        position: Number of the first row in the whole data.
    """

    path: Path
    groups: tuple[int, ...]
    position: int


@dataclass(frozen=True)
class Task:
    """What one worker encodes at a time.

    Attributes:
        pieces: The rows, in order.
        encoder: How.
        folder: Where to.
        validation_fraction: See `split_of`.
    """

    pieces: tuple[Piece, ...]
    encoder: RowEncoder
    folder: Path
    validation_fraction: float


@dataclass
class Counts:
    """What became of the rows of one side.

    Attributes:
        rows: Those that became examples.
        examples: What they became; a row may become several.
        targets: Targets in them.
        cut: Those of which something was left out.
        left_out: Those that became none, by the code of the reason.
        why: The first reason of each code.
        notes: What examples were noted for, by the objective's names for it.
        unread: Bytes that their targets stand for, and that the tokenizer did not read.
        long: How many rows were too long, by the tokens that they have.
        keys: What stands for the text of each row, see `key_of`.
    """

    rows: int = 0
    examples: int = 0
    targets: int = 0
    cut: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    why: dict[str, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    unread: Unread = Unread()  # noqa: RUF009 - a tuple
    long: Counter[int] = field(default_factory=Counter)
    keys: array[int] = field(default_factory=lambda: array("Q"), compare=False)

    def add(self, other: Counts) -> None:
        """Add what another part of the data has."""
        self.rows, self.targets, self.cut = self.rows + other.rows, self.targets + other.targets, self.cut + other.cut
        self.examples += other.examples
        self.unread = self.unread.plus(other.unread)
        self.left_out += other.left_out
        self.notes += other.notes
        self.long += other.long
        self.keys += other.keys
        self.why = {**other.why, **self.why}


def encode_rows(
    corpora: Sequence[Path],
    encoder: RowEncoder,
    folder: Path,
    *,
    engine: Engine,
    console: Console,
    validation_fraction: float,
) -> dict[str, Counts]:
    """Encode the rows of examples artifacts into `FOLDER/train` and `FOLDER/validation`.

    Args:
        corpora: Folders of examples.
        encoder: How rows become examples.
        folder: Where to; also what a later run goes on from.
        engine: Workers.
        console: Progress.
        validation_fraction: Share of the rows, by a hash of their text, that go to `validation`.

    Returns:
        What became of the rows of each side.
    """
    counts = run_once(
        folder,
        "whole",
        lambda: _encode_rows(corpora, encoder, folder.absolute(), engine, console, validation_fraction),
    )
    shutil.rmtree(folder / "parts", ignore_errors=True)  # not before: tasks that are done are not done again
    return counts


def _encode_rows(
    corpora: Sequence[Path], encoder: RowEncoder, folder: Path, engine: Engine, console: Console, fraction: float
) -> dict[str, Counts]:
    cuts = cut_rows(corpora)
    give_back_freed_memory()
    tasks = [Task(cut, encoder, folder / "parts" / f"{i:06}", fraction) for i, cut in enumerate(cuts)]
    counts: dict[str, Counts] = {side: Counts() for side in SIDES}
    with console.progress("encoding", total=len(tasks), unit="tasks") as progress:
        for found in run_plan(engine, encode_task, tasks, folder / "done"):
            for side, part in found.items():
                counts[side].add(part)
            progress.advance(1)
    for side in SIDES:
        parts = [EncodedRows.open(task.folder / side) for task in tasks]
        save_joined(folder / side, parts or [EncodedRows.of(encoder.columns, [])])
    return counts


def cut_rows(corpora: Sequence[Path]) -> list[tuple[Piece, ...]]:
    """Cut examples into groups of pieces of about `TASK_ROWS` rows, in their order."""
    cuts: list[list[Piece]] = []
    filled, position = TASK_ROWS, 0
    for path in (path for corpus in corpora for path in Examples(corpus).files()):
        metadata = shard_metadata(path)
        for group in range(metadata.num_row_groups):
            if filled >= TASK_ROWS:
                cuts.append([])
                filled = 0
            cuts[-1].append(Piece(path.absolute(), (group,), position))
            filled += metadata.row_group(group).num_rows
            position += metadata.row_group(group).num_rows
    return [tuple(cut) for cut in cuts]


def encode_task(task: Task) -> dict[str, Counts]:
    """Encode the rows of one task into its folder."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps 9 MB of a worker for itself
    parts: dict[Split, list[EncodedRows]] = {side: [] for side in SIDES}
    counts: dict[str, Counts] = {side: Counts() for side in SIDES}
    for piece in task.pieces:
        position = piece.position
        for rows in read_rows(piece.path, groups=piece.groups, size=BATCH_ROWS):
            examples: dict[Split, list[tuple[int, Example]]] = {side: [] for side in SIDES}
            for row, found in zip(rows, task.encoder.encode(rows), strict=True):
                key = key_of(row["text"])
                side = split_of_key(key, validation_fraction=task.validation_fraction, test_fraction=0)
                counts[side].keys.append(key)
                _count(found, counts[side])
                examples[side] += ((position, example) for example in examples_of(found))
                position += 1
            for side, kept in examples.items():  # at once: loose arrays take twice the memory
                positions = [position for position, _ in kept]
                parts[side].append(EncodedRows.of(task.encoder.columns, [example for _, example in kept], positions))
    for side in SIDES:
        save_joined(task.folder / side, parts[side])
    parts.clear()
    give_back_freed_memory()  # a tenth of a worker's
    return counts


def _count(found: Outcome, counts: Counts) -> None:
    if long := max((one.length for one in examples_of(found)), default=getattr(found, "length", 0)):
        counts.long[long] += 1
    if isinstance(found, LeftOut):
        counts.left_out[found.code] += 1
        counts.why.setdefault(found.code, found.why)
        return
    examples = examples_of(found)
    counts.rows += 1
    counts.examples += len(examples)
    counts.cut += any(example.cut for example in examples)
    for example in examples:
        counts.targets += example.targets
        counts.notes.update(example.notes)
        counts.unread = counts.unread.plus(example.unread)
