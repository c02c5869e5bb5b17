"""The last pass: carry out what was decided last, and write the corpus in shards of bounded size."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmkit.cleaning.exchange import load_array, save_array
from llmkit.cleaning.plan import Task
from llmkit.cleaning.scratch import Entry, ScratchWriter, read_scratch
from llmkit.cleaning.steps import Order
from llmkit.cleaning.tally import Tally
from llmkit.cleaning.task import Work, survivors
from llmkit.core.durable import fsync
from llmkit.data.artifacts import Corpus
from llmkit.data.corpus import CorpusWriter
from llmkit.data.rows import Row

SHARD_CHARS = 64 * 2**20
"""Characters of text per shard before the last pass."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One Parquet file to write.

    Attributes:
        folder: Where to write it.
        row: What kind of labelled rows it holds; None for text.
        works: The tasks whose documents it holds.
    """

    folder: Path
    row: Row | None
    works: tuple[Work, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What a shard holds: counts, bytes of text, and the number of its files, none if nothing was left."""

    tally: Tally
    num_bytes: int
    num_files: int


def group_by_size(tasks: Sequence[Task], sizes: Sequence[int]) -> list[list[Task]]:
    """Put neighbouring tasks together until they fill a shard."""
    groups: list[list[Task]] = []
    filled = 0
    for task, size in zip(tasks, sizes, strict=True):
        if not groups or filled + size > SHARD_CHARS:
            groups.append([])
            filled = 0
        groups[-1].append(task)
        filled += size
    return groups


def write_shard(shard: Shard) -> Written:
    """Write the documents of some tasks, in their order."""
    tally = Tally()
    writer = _open(shard.folder, shard.row)
    for work in shard.works:
        for entry in survivors(work, tally):
            _write(entry, writer, tally)
    return _close(writer, tally)


def _open(folder: Path, row: Row | None) -> CorpusWriter:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return CorpusWriter(folder, row)


def _close(writer: CorpusWriter, tally: Tally) -> Written:
    writer.close()
    files = Corpus(writer.directory).files()
    for file in files:  # before the note that says it is done: after a power cut the note alone would be worthless
        fsync(file)
    return Written(tally, writer.num_bytes, len(files))


def _write(entry: Entry, writer: CorpusWriter, tally: Tally) -> None:
    writer.write(entry.document)
    tally.kept(entry.document, entry.file, entry.measures)


@dataclass(frozen=True, slots=True)
class Deal:
    """One task whose documents are dealt out to shards in another order.

    Attributes:
        work: The task.
        order: The step that knows the order.
        num_shards: Shards to deal to.
    """

    work: Work
    order: Order
    num_shards: int

    @property
    def path(self) -> Path:
        """The file of the task's documents, one stretch per shard, with the offsets beside it."""
        return _dealt(self.work.scratch, self.work.task.number)


def _dealt(scratch: Path, task: int) -> Path:
    return scratch / "dealt" / f"{task:06}"


def deal_task(deal: Deal) -> Tally:
    """Carry out the last pass on a task and leave its documents by shard."""
    tally = Tally()
    hands: list[list[Entry]] = [[] for _ in range(deal.num_shards)]
    for entry in survivors(deal.work, tally):
        hands[deal.order.order_key(entry.document) * deal.num_shards >> 64].append(entry)
    offsets = []
    with ScratchWriter(deal.path) as out:
        for hand in hands:
            offsets.append(out.position())
            for entry in hand:
                out.add(entry)
        offsets.append(out.position())
    save_array(deal.path.with_suffix(".npy"), np.array(offsets, np.int64))
    return tally


@dataclass(frozen=True, slots=True)
class DealtShard:
    """One Parquet file to write from what all tasks dealt to it.

    Attributes:
        folder: Where to write it.
        row: What kind of labelled rows it holds; None for text.
        number: Which of the shards it is.
        scratch: Where the tasks left what they dealt.
        num_tasks: How many tasks there are.
        order: The step that knows the order.
    """

    folder: Path
    row: Row | None
    number: int
    scratch: Path
    num_tasks: int
    order: Order


def write_dealt(shard: DealtShard) -> Written:
    """Write the documents dealt to a shard, sorted by the order's key, then by id."""
    entries: list[Entry] = []
    for task in range(shard.num_tasks):
        path = _dealt(shard.scratch, task)
        start, end = load_array(path.with_suffix(".npy"))[shard.number : shard.number + 2].tolist()
        entries += read_scratch(path, start, end)
    entries.sort(key=lambda entry: (shard.order.order_key(entry.document), entry.document.id))
    tally = Tally()
    writer = _open(shard.folder, shard.row)
    for entry in entries:
        _write(entry, writer, tally)
    return _close(writer, tally)
