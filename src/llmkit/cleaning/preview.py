"""Try a recipe on a few random documents: what each step would do to each, without writing anything."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmkit.cleaning.plan import Piece
from llmkit.cleaning.steps import Drop, GlobalStep, Order, Step
from llmkit.cleaning.task import make_document, rows_of
from llmkit.core.errors import DataError
from llmkit.core.inputs import RawFile
from llmkit.data.corpus import Document
from llmkit.data.sources import Broken, Source

SEED = 0
"""The sample is always the same: a recipe is tuned on documents that stay."""
READ_BYTES = 64 * 2**20
"""Text that is read at most to draw the sample from."""
PIECE_BYTES = 4 * 2**20
"""Raw bytes of a piece that is read; text of a file that is read where it cannot be cut."""
CUT_BYTES = 512 * 2**20
"""Raw bytes of files that are cut at most: finding the newlines of a large file reads all of it."""
MAX_PIECES = 2000
BROKEN_SHOWN = 3
JSON_CHARS = 4000
"""Characters of a text in `--json`."""


@dataclass(slots=True)
class StepTrace:
    """What one step did to one document."""

    position: int
    name: str
    changed: bool
    counts: dict[str, int]
    drop: Drop | None

    def as_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        found: dict[str, Any] = {"step": self.position, "type": self.name, "changed": self.changed}
        drop = self.drop
        return {
            **found,
            "counted": self.counts,
            "drop": drop and {"rule": drop.rule, "value": drop.value, "threshold": drop.threshold},
        }


@dataclass(slots=True)
class DocumentTrace:
    """One document, before and after.

    Attributes:
        document: The document as the last step left it.
        file: Name of its file.
        row: Its row in the file, from 0.
        before: Its text as it was read.
        steps: What those steps did that did anything.
    """

    document: Document
    file: str
    row: int
    before: str
    steps: list[StepTrace] = field(default_factory=list)

    @property
    def drop(self) -> Drop | None:
        """Why it falls, if it does."""
        return self.steps[-1].drop if self.steps else None

    @property
    def changed(self) -> bool:
        """Whether the text is another one now."""
        return self.document.text != self.before

    def parts(self) -> list[tuple[str, str]]:
        """Return the parts of a labelled row, as captions and texts; nothing where it is text."""
        document = self.document
        return document.kind.show(document.row) if document.kind and document.row else []

    def as_json(self) -> dict[str, Any]:
        """Return the object of `--json`; long texts are cut."""
        document = self.document
        parts = [[caption, text[:JSON_CHARS]] for caption, text in self.parts()]
        return {
            "id": document.id,
            "source": document.source,
            "file": self.file,
            "row": self.row + 1,
            "language": document.language,
            "kept": self.drop is None,
            "characters_before": len(self.before),
            "characters_after": len(document.text),
            "steps": [step.as_json() for step in self.steps],
            "before": self.before[:JSON_CHARS],
            "after": document.text[:JSON_CHARS],
            **({"parts": parts} if parts else {}),
        }


@dataclass(slots=True)
class StepTotal:
    """What one step did to the sample: documents changed and dropped, and what it counted."""

    position: int
    name: str
    changed: int = 0
    dropped: int = 0
    counted: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "step": self.position,
            "type": self.name,
            "changed": self.changed,
            "dropped": self.dropped,
            "counted": dict(self.counted),
        }


@dataclass(slots=True)
class Preview:
    """A preview.

    Attributes:
        steps: The recipe's steps.
        documents: The sample, in the order of the input.
        num_rows: Rows that the sample was drawn from.
        num_files: Files that they were read from.
        total_files: Files of the input.
        whole: Everything was read.
        num_broken: Rows that could not be read.
        broken: The first of them, with where they are and why.
    """

    steps: Sequence[Step]
    documents: list[DocumentTrace] = field(default_factory=list)
    num_rows: int = 0
    num_files: int = 0
    total_files: int = 0
    whole: bool = True
    num_broken: int = 0
    broken: list[str] = field(default_factory=list)

    def left_out(self) -> list[tuple[int, Step]]:
        """Return the steps that a preview cannot show: those that compare documents, and those that order them."""
        return [(i, step) for i, step in enumerate(self.steps) if isinstance(step, GlobalStep | Order)]

    def totals(self) -> list[StepTotal]:
        """Return what the steps did to all documents of the sample, for the steps that a preview can show."""
        out = {position for position, _ in self.left_out()}
        totals = {i: StepTotal(i, step.type_name) for i, step in enumerate(self.steps) if i not in out}
        for trace in (trace for document in self.documents for trace in document.steps):
            total = totals[trace.position]
            total.changed += trace.changed
            total.dropped += trace.drop is not None
            total.counted.update(trace.counts)
        return list(totals.values())

    def as_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "status": "preview",
            "exit_code": 0,
            "rows_read": self.num_rows,
            "files_read": self.num_files,
            "files": self.total_files,
            "seed": SEED,
            "rows_unreadable": self.num_broken,
            "kept": sum(d.drop is None for d in self.documents),
            "dropped": sum(d.drop is not None for d in self.documents),
            "steps": [total.as_json() for total in self.totals()],
            "not_in_preview": [{"step": position, "type": step.type_name} for position, step in self.left_out()],
            "documents": [document.as_json() for document in self.documents],
        }


def take_preview(inputs: Sequence[tuple[Source, list[RawFile]]], steps: Sequence[Step], count: int) -> Preview:
    """Draw documents at random and take them through the steps that look at one document alone.

    Up to `READ_BYTES` of text are read, from files and parts of files in random order. Of a compressed file only the
    beginning is read, since the way to the middle is as long as the way there; likewise of a very large one.

    Raises:
        DataError: The input has no rows that can be read.
    """
    preview = Preview(steps, total_files=sum(len(files) for _, files in inputs))
    for trace in _sample(inputs, count, preview):
        _walk(trace, steps)
        preview.documents.append(trace)
    if not preview.documents:
        why = f"no row can be read: {preview.broken[0]}" if preview.broken else "the input has no rows"
        raise DataError(f"nothing to preview: {why}")
    return preview


def _walk(trace: DocumentTrace, steps: Sequence[Step]) -> None:
    document = trace.document
    for position, step in enumerate(steps):
        if isinstance(step, GlobalStep | Order) or not step.concerns(document):
            continue
        before, document.counts = document.text, {}
        drop = step.apply(document)
        changed = document.text != before
        if changed or drop is not None or document.counts:
            trace.steps.append(StepTrace(position, step.type_name, changed, document.counts, drop))
        if drop is not None:
            return


def _number(*parts: object) -> int:
    """Return a random number that is always the same for the same parts."""
    data = "\0".join(map(str, (SEED, *parts))).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _sample(inputs: Sequence[tuple[Source, list[RawFile]]], count: int, preview: Preview) -> list[DocumentTrace]:
    """Keep the documents whose ids have the smallest random numbers."""
    pieces = sorted(_pieces(inputs), key=lambda item: _number(*item[0]))
    heap: list[tuple[int, int, tuple[int, ...], DocumentTrace]] = []
    files, left = set(), READ_BYTES
    for number, (place, piece) in enumerate(pieces):
        if left <= 0 or number >= MAX_PIECES:
            preview.whole = False
            break
        files.add(place[:2])
        share = max(left // (len(pieces) - number), PIECE_BYTES)
        for row, document in _documents(piece, share, preview):
            left -= len(document.text) + 1
            trace = DocumentTrace(document, piece.file.name, row, document.text)
            # The running number keeps the heap from ever comparing documents.
            item = (-_number(document.id), -preview.num_rows, (*place, row), trace)
            (heapq.heappush if len(heap) < count else heapq.heappushpop)(heap, item)
    preview.num_files = len(files)
    return [trace for _, _, _, trace in sorted(heap, key=lambda item: item[2])]


def _documents(piece: Piece, most: int, preview: Preview) -> Iterator[tuple[int, Document]]:
    """Yield rows and documents of a piece until there are so many characters; count what is read."""
    for record in rows_of(piece):
        if most <= 0:
            preview.whole = False
            return
        preview.num_rows += record.num_rows if isinstance(record, Broken) else 1
        if isinstance(record, Broken):
            preview.num_broken += record.num_rows
            if len(preview.broken) < BROKEN_SHOWN:
                at = f":{record.line}" if record.line else f": row {record.row + 1}"
                preview.broken.append(f"{piece.file.path}{at}: {record.reason}")
            most -= len(record.excerpt) + 1
            continue
        most -= len(record.text) + 1
        yield record.row, make_document(record, piece)


def _pieces(inputs: Sequence[tuple[Source, list[RawFile]]]) -> list[tuple[tuple[int, int, int], Piece]]:
    """Return what can be read by itself, with its place: position of the input, of the file, of the part."""
    pieces = []
    left = CUT_BYTES
    files = [(i, j, source, file) for i, (source, listed) in enumerate(inputs) for j, file in enumerate(listed)]
    occurrences = _occurrences(inputs)
    for i, j, source, file in sorted(files, key=lambda item: _number(*item[:2])):
        spans = source.spans(file, PIECE_BYTES) if PIECE_BYTES < file.num_bytes <= left else ()
        occurrence = occurrences[i].get(file.name, 0)
        if len(spans) <= 1:
            pieces.append(((i, j, 0), Piece(source, file, file.num_bytes, occurrence=occurrence)))
            continue
        left -= file.num_bytes
        pieces += [((i, j, k), Piece(source, file, s.num_bytes, s, None, occurrence)) for k, s in enumerate(spans)]
    return pieces


def _occurrences(inputs: Sequence[tuple[Source, list[RawFile]]]) -> list[dict[str, int]]:
    """Return per input how many earlier inputs have a file of each name: part of the ids, as in a run."""
    seen: Counter[str] = Counter()
    found = []
    for _, files in inputs:
        found.append({name: seen[name] for name in {file.name for file in files} & seen.keys()})
        seen.update({file.name for file in files})
    return found
