"""The plan of a cleaning run: tasks over input files, cut by bytes, then one merge in input order.

A task reads its files, applies the steps before the first comparison between documents, and leaves the survivors in a
scratch file. The merge walks the tasks in order, finds duplicates, applies the remaining steps and writes the corpus.
Neither the order nor the ids depend on how many workers ran the tasks.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmkit.cleaning.report import Tally
from llmkit.cleaning.steps import Deduplicate, Step
from llmkit.core.errors import DataError
from llmkit.data.corpus import UNKNOWN_LANGUAGE, CorpusWriter, Document, document_id
from llmkit.data.sources import Broken, RawFile, Record, Source

TASK_BYTES = 16 * 2**20
"""Raw bytes per task; a larger file is a task of its own."""


@dataclass(frozen=True)
class Task:
    """Files of one source, read by one worker.

    Attributes:
        index: Position in the plan.
        source: Where the files belong.
        files: What to read, in order.
        steps: Steps to apply to each document.
        scratch: Folder for the survivors.
        strict: Stop at the first broken row.
    """

    index: int
    source: Source
    files: tuple[RawFile, ...]
    steps: tuple[Step, ...]
    scratch: Path
    strict: bool

    @property
    def num_bytes(self) -> int:
        """Raw bytes to read."""
        return sum(file.num_bytes for file in self.files)

    @property
    def path(self) -> Path:
        """The scratch file of this task."""
        return self.scratch / f"task-{self.index:06}.pickle"


def make_tasks(
    inputs: Sequence[tuple[Source, list[RawFile]]], steps: Sequence[Step], scratch: Path, *, strict: bool
) -> list[Task]:
    """Cut the input files into tasks by their bytes, never by the number of workers."""
    tasks: list[Task] = []
    before = tuple(steps[: first_comparison(steps)])
    for source, files in inputs:
        group: list[RawFile] = []
        size = 0
        for position, file in enumerate(files):
            group.append(file)
            size += file.num_bytes
            if size >= TASK_BYTES or position == len(files) - 1:
                tasks.append(Task(len(tasks), source, tuple(group), before, scratch, strict))
                group, size = [], 0
    return tasks


def first_comparison(steps: Sequence[Step]) -> int:
    """Return the position of the first step that compares documents; the number of steps if there is none."""
    return next((i for i, step in enumerate(steps) if isinstance(step, Deduplicate)), len(steps))


def run_task(task: Task) -> Tally:
    """Clean one task's files; the survivors go to `task.path`, the counts are returned."""
    tally = Tally()
    temporary = task.path.with_suffix(".tmp")
    with temporary.open("wb") as out:
        for file in task.files:
            for record in task.source.read(file):
                tally.row(file)
                if isinstance(record, Broken):
                    _quarantine(record, file, task, tally)
                    continue
                document = _document(record, file)
                tally.read(document)
                if apply_steps(task.steps, document, file.path, tally):
                    pickle.dump((document, file.path), out, protocol=pickle.HIGHEST_PROTOCOL)
    temporary.replace(task.path)
    return tally


def apply_steps(steps: Sequence[Step], document: Document, file: str, tally: Tally, first: int = 0) -> bool:
    """Run a document through steps; return whether it is still there."""
    for position, step in enumerate(steps, start=first):
        before = document.text
        drop = step.apply(document)
        if drop is not None:
            tally.rejected(position, document, file, drop)
            return False
        if document.text is not before and document.text != before:
            tally.changed(position)
    return True


def merge(tasks: Sequence[Task], steps: Sequence[Step], writer: CorpusWriter, tally: Tally) -> Iterator[None]:
    """Write the corpus from the finished tasks, in their order; yields once per task, for progress."""
    position = first_comparison(steps)
    rest = steps[position:]
    seen: dict[int, dict[bytes, str]] = {position + i: {} for i, s in enumerate(rest) if isinstance(s, Deduplicate)}
    for task in tasks:
        for document, file in _survivors(task.path):
            if _merge_one(document, file, rest, position, seen, tally):
                writer.write(document)
                tally.kept(document, file)
        task.path.unlink()
        yield


def _merge_one(
    document: Document, file: str, rest: Sequence[Step], first: int, seen: dict[int, dict[bytes, str]], tally: Tally
) -> bool:
    for position, step in enumerate(rest, start=first):
        if isinstance(step, Deduplicate):
            key = step.key(document)
            original = seen[position].get(key)
            if original is None:
                seen[position][key] = document.id
            else:
                tally.duplicate(position, document, file, step.type_name, original)
                return False
        elif not apply_steps([step], document, file, tally, first=position):
            return False
    return True


def _survivors(path: Path) -> Iterator[tuple[Document, str]]:
    with path.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)  # noqa: S301 - written by run_task a moment ago, in our own scratch folder
            except EOFError:
                return


def _document(record: Record, file: RawFile) -> Document:
    return Document(
        id=document_id(record.source, file.name, record.row, record.text),
        text=record.text,
        source=record.source,
        language=record.language or UNKNOWN_LANGUAGE,
        messages=record.fields.get("messages"),
        meta=record.meta,
    )


def _quarantine(record: Broken, file: RawFile, task: Task, tally: Tally) -> None:
    where = f"{file.path}:{record.line}" if record.line else f"{file.path}: row {record.row + 1}"
    if task.strict:
        raise DataError(f"{where}: {record.reason}", hint="leave out --strict to set broken rows aside")
    tally.failed(record, file, where)
