"""Make an index: entries are cut and embedded window by window, each done once; then words are counted over all."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llmkit.core.context import Context
from llmkit.core.durable import fsync
from llmkit.core.errors import DataError
from llmkit.core.extras import require
from llmkit.core.json import dumps
from llmkit.data.artifacts import Index
from llmkit.data.sources import Broken
from llmkit.retrieval.cutting import spans
from llmkit.retrieval.entries import Entry, Reader
from llmkit.retrieval.terms import terms
from llmkit.work.once import run_once, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.runtimes import Running

WINDOW_CHARS, WINDOW_ROWS = 2**20, 4096
"""Characters of text, and entries, that are cut and embedded together; a kill loses as many at most."""
SHARD_BYTES = 256 * 2**20
SHOWN = 5
"""Unreadable rows that are named."""
SCHEMA = pa.schema(
    [
        ("id", pa.string()), ("text", pa.string()), ("kind", pa.string()), ("document", pa.string()),
        ("source", pa.string()), ("file", pa.string()), ("row", pa.int64()), ("start", pa.int64()), ("end", pa.int64()),
        ("subject", pa.string()), ("object", pa.string()), ("meta", pa.string()),
    ]
)  # fmt: skip
"""A passage: the `end - start` characters of a document's text from `start` on."""


@dataclass
class Tally:
    """Counts of some entries, or of all once added up.

    Attributes:
        records: What was read, to be skipped by a later run.
        rows: Entries, unreadable ones included.
        failed: Those that could not be read.
        empty: Those without words.
        passages: What became of the others.
        triples: Those of them that are triples.
        cut: Passages whose end the model does not read.
        broken: The first unreadable ones, in words.
    """

    records: int = 0
    rows: int = 0
    failed: int = 0
    empty: int = 0
    passages: int = 0
    triples: int = 0
    cut: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add later ones."""
        for name in ("records", "rows", "failed", "empty", "passages", "triples", "cut"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.broken = [*self.broken, *other.broken][:SHOWN]


@dataclass(frozen=True)
class Building:
    """What is done with each window.

    Attributes:
        max_words: Words of a passage at most.
        overlap: Words that a passage shares with the one before it, at most.
        model: What makes vectors; None for none.
        strict: Stop at the first row that cannot be read.
    """

    max_words: int
    overlap: int
    model: Running | None
    strict: bool

    def window(self, rows: Iterator[tuple[str, Entry | Broken]], place: Path) -> Tally:
        """Write the passages of the next window, and their vectors beside them; nothing where there are no more."""
        tally, passages, size = Tally(), list[dict[str, Any]](), 0
        while tally.records < WINDOW_ROWS and size < WINDOW_CHARS and (found := next(rows, None)) is not None:
            path, entry = found
            tally.records += 1
            if isinstance(entry, Broken):
                self._unreadable(path, entry, tally)
                continue
            tally.rows += 1
            own = list(_passages(entry, self.max_words, self.overlap))
            tally.empty += not own
            tally.triples += entry.kind == "triple" and bool(own)
            passages += own
            size += len(entry.text)
        tally.passages = len(passages)
        if passages:
            if self.model is not None:
                vectors, tally.cut = embedded(self.model, [one["text"] for one in passages])
                with place.with_suffix(".npy").open("wb") as file:
                    np.save(file, vectors)
                fsync(place.with_suffix(".npy"))
            pq.write_table(pa.Table.from_pylist(passages, SCHEMA), place.with_suffix(".parquet"))
            fsync(place.with_suffix(".parquet"))
        return tally

    def _unreadable(self, path: str, row: Broken, tally: Tally) -> None:
        where = f"{path}:{row.line}" if row.line else f"{path}: row {row.row + 1}"
        if self.strict:
            raise DataError(f"{where}: {row.reason}", "leave out --strict to set broken rows aside")
        tally.rows += row.num_rows
        tally.failed += row.num_rows
        tally.broken = [*tally.broken, f"{where}: {row.reason}"][:SHOWN]


def _passages(entry: Entry, max_words: int, overlap: int) -> Iterator[dict[str, Any]]:
    whole = entry.kind == "triple"  # it is found by its entities, and said as a whole
    parts = [(0, len(entry.text))] if whole and entry.text else spans(entry.text, max_words, overlap)
    for number, (start, end) in enumerate(parts):
        yield {
            "id": f"{entry.id}-{number}", "text": entry.text[start:end], "kind": entry.kind, "document": entry.id,
            "source": entry.source, "file": entry.file, "row": entry.row, "start": start, "end": end,
            "subject": entry.subject, "object": entry.object,
            "meta": dumps(entry.meta or {}, sort_keys=True, default=str),
        }  # fmt: skip


def embedded(model: Running, texts: Sequence[str], side: str = "document") -> tuple[NDArray[np.float32], int]:
    """Return vectors of length one `[texts, dimensions]`, and of how many texts the end is not read.

    Args:
        model: What makes them.
        texts: One or more.
        side: `document`, or `query` for what is searched with: the model may put other words before it.
    """
    from llmkit.evaluation.engine import Asked, Engine
    from llmkit.runtimes import Embed

    asked = [Embed(text, model.facts.prompts.get(side)) for text in texts]
    found = np.array([one for (one,) in Engine(model).ask(Asked([request]) for request in asked)], np.float32)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.maximum(length, 1e-12), sum(map(model.cuts, asked))


def build(building: Building, readers: Sequence[Reader], out: Path, scratch: Path, context: Context) -> Tally:
    """Index all entries, into the folder `out`; done windows are in the folder `scratch`.

    Raises:
        DataError: There is nothing to index.
    """
    place = scratch / ("strict" if building.strict else "lenient")
    total, rows = Tally(), itertools.chain.from_iterable(reader.read() for reader in readers)
    with context.console.progress("indexing", unit="passages") as progress:
        for tally, before in windows(building.window, rows, place, lambda tally: tally.records):
            if before:
                progress.begin_at(progress.count + tally.passages)
            else:
                progress.advance(tally.passages)
            total.add(tally)
    if total.passages:
        parts = sorted(place.glob("*.parquet"))
        write_shards(parts, out)
        if building.model is not None:
            _join_vectors([path.with_suffix(".npy") for path in parts], total.passages, Index(out).vectors)
        run_once(scratch, "words", lambda: count_words_of(Index(out), context))
    return total


def write_shards(parts: Sequence[Path], out: Path) -> None:
    """Join the windows, in order, into files of bounded size."""
    groups: list[list[Path]] = []
    size = SHARD_BYTES
    for part in parts:
        if size >= SHARD_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(part)
        size += part.stat().st_size
    for number, group in enumerate(groups):
        names = ["kind", "source", "file", "document"]
        with pq.ParquetWriter(out / Index.shard_name(number), SCHEMA, compression="zstd", use_dictionary=names) as file:
            for part in group:
                file.write_table(pq.read_table(part, schema=SCHEMA))


def _join_vectors(parts: Sequence[Path], rows: int, path: Path) -> None:
    """Join the windows' vectors into one file, a window in memory at a time."""
    size = np.load(parts[0], mmap_mode="r").shape[1]
    joined = np.lib.format.open_memmap(path, "w+", np.float32, (rows, size))
    begin = 0
    for part in map(np.load, parts):
        joined[begin : begin + len(part)] = part
        begin += len(part)
    joined.flush()


def count_words_of(index: Index, context: Context) -> int:
    """Write the weights of all words in all passages (BM25, Lucene's variant); return how many words there are.

    Raises:
        DataError: No passage has a word.
    """
    numbers: dict[str, int] = {}
    rows = (terms(row["text"]) for row in index.rows(["text"]))
    with context.console.progress("counting words", unit="passages") as progress:
        ids = []
        for words in rows:
            ids.append([numbers.setdefault(word, len(numbers)) for word in words])
            progress.advance(1)
    if not numbers:
        raise DataError("nothing to index: no passage has a word in it", "name another --input")
    found = require("retrieval").BM25()
    found.index((ids, numbers), create_empty_token=False, show_progress=False)
    found.save(index.words, show_progress=False)
    return len(numbers)
