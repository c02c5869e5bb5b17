"""Take the documents of one task through one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmkit.cleaning.exchange import save_array
from llmkit.cleaning.features import features
from llmkit.cleaning.measures import measure
from llmkit.cleaning.plan import Pass, Piece, Placed, Task
from llmkit.cleaning.scratch import Entry, ScratchWriter, read_scratch
from llmkit.cleaning.spool import read_chunk
from llmkit.cleaning.steps import Drop
from llmkit.cleaning.survey import ID_BYTES, Verdict
from llmkit.cleaning.tally import Tally
from llmkit.core import stop
from llmkit.core.errors import DataError
from llmkit.data.corpus import UNKNOWN_LANGUAGE, Document, document_id
from llmkit.data.sources import Broken, Record


@dataclass(frozen=True, slots=True)
class Work:
    """One task in one pass.

    Attributes:
        task: What to read.
        walk: The pass.
        scratch: Where documents wait between passes.
        strict: Stop at the first broken row.
    """

    task: Task
    walk: Pass
    scratch: Path
    strict: bool

    def path(self, number: int) -> Path:
        """Return the file in which the task's documents wait after a pass."""
        return self.scratch / f"pass-{number}" / f"{self.task.number:06}"


def run_task(work: Work) -> tuple[Tally, int]:
    """Take a task through a pass that is not the last; return the counts and the characters of text that are left."""
    tally, num_chars = Tally(), 0
    recorders = [(placed, placed.step.recorder()) for placed, _ in work.walk.records]  # type: ignore[attr-defined]
    ids: list[bytes] = []
    with ScratchWriter(work.path(work.walk.number)) as out:
        for entry in survivors(work, tally):
            for placed, recorder in recorders:
                if placed.step.concerns(entry.document):
                    recorder.add(out.num_entries, entry.document)
            ids.append(bytes.fromhex(entry.document.id))
            num_chars += len(entry.document.text)
            out.add(entry)
    for (_, survey), (_, recorder) in zip(work.walk.records, recorders, strict=True):
        survey.record(work.task.number, recorder.tables())
    if work.walk.records:
        path = work.walk.records[0][1].ids_path(work.task.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_array(path, np.frombuffer(b"".join(ids), np.uint8).reshape(-1, ID_BYTES))
    return tally, num_chars


def survivors(work: Work, tally: Tally) -> Iterator[Entry]:
    """Yield the documents that a pass leaves, in order, counting what falls."""
    walk = work.walk
    verdicts = [(placed, survey.verdicts_by_row(work.task.number)) for placed, survey in walk.verdicts]
    entries = _raw(work, tally) if walk.number == 0 else read_scratch(work.path(walk.number - 1))
    for row, entry in enumerate(entries):
        stop.check()
        if _carry_out(verdicts, row, entry, tally) and apply_steps(walk.steps, entry.document, entry.file, tally):
            if entry.document.text is not entry.measured:
                entry.measured = entry.document.text
                entry.measures = measure(features(entry.document))
            yield entry


def apply_steps(steps: tuple[Placed, ...], document: Document, file: str, tally: Tally) -> bool:
    """Run a document through steps; return whether it is still there."""
    for placed in steps:
        if placed.step.concerns(document):
            before = document.text
            drop = placed.step.apply(document)
            if not _count(placed, document, before, drop, file, tally):
                return False
    return True


def _carry_out(verdicts: list[tuple[Placed, dict[int, list[Verdict]]]], row: int, entry: Entry, tally: Tally) -> bool:
    for placed, by_row in verdicts:
        found = by_row.get(row)
        if found:
            before = entry.document.text
            drop = placed.step.act(entry.document, found)  # type: ignore[attr-defined]
            if not _count(placed, entry.document, before, drop, entry.file, tally):
                return False
    return True


def _count(placed: Placed, document: Document, before: str, drop: Drop | None, file: str, tally: Tally) -> bool:
    if document.counts:
        tally.counted(placed.position, document.counts)
        document.counts = {}
    if drop is not None:
        tally.rejected(placed.position, document, file, drop)
        return False
    if document.text is not before and document.text != before:
        tally.changed(placed.position)
    return True


def _raw(work: Work, tally: Tally) -> Iterator[Entry]:
    for piece in work.task.pieces:
        tally.file(piece.file)
        for record in rows_of(piece):
            if isinstance(record, Broken):
                tally.row(piece.file, record.num_rows)
                _quarantine(record, piece, work.strict, tally)
                continue
            tally.row(piece.file)
            document = make_document(record, piece)
            measures = measure(features(document))
            tally.read(document, measures)
            yield Entry(document, piece.file.path, measures, document.text)


def rows_of(piece: Piece) -> Iterator[Record | Broken]:
    """Yield the rows of a piece."""
    if piece.chunk is not None:
        return read_chunk(piece.chunk)
    return piece.source.read(piece.file) if piece.span is None else piece.source.read_span(piece.file, piece.span)


def make_document(record: Record, piece: Piece) -> Document:
    """Turn a row into a document."""
    name = piece.file.name if not piece.occurrence else f"{piece.file.name}\0{piece.occurrence}"
    row = record.fields or None
    return Document(
        id=document_id(record.source, name, record.row, record.text),
        text=record.text,
        source=record.source,
        language=record.language or UNKNOWN_LANGUAGE,
        row=row,
        kind=piece.source.row_kind() if row else None,
        meta=record.meta,
    )


def _quarantine(record: Broken, piece: Piece, strict: bool, tally: Tally) -> None:
    where = record.place(piece.file.path)
    if strict:
        raise DataError(f"{where}: {record.reason}", hint="leave out --strict to set broken rows aside")
    tally.failed(record, piece.file, where)
