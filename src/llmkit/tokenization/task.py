"""Encode the documents of one task and leave them in a scratch file, ready to be joined into shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llmkit.core import stop
from llmkit.core.durable import fsync
from llmkit.data.split import SPLITS, Split
from llmkit.data.token_shards import Part, Stretch, int_array
from llmkit.modeling.fast import FastEncoder
from llmkit.modeling.literal import LiteralEncoder
from llmkit.text.languages import canonical
from llmkit.tokenization.batch import COLUMNS, Batch, Piece
from llmkit.tokenization.encode import Encoded, Encoder
from llmkit.tokenization.fast import Check
from llmkit.tokenization.folding import Splitter
from llmkit.tokenization.statistics import TokenStatistics

ENCODER_FILE, KINDS_FILE = "encoder.json", "kinds.npy"


@dataclass(frozen=True, slots=True)
class Task:
    """Documents that one worker encodes.

    Attributes:
        number: Position in the plan.
        pieces: What to read, in order.
        setup: Folder with the encoder and the kinds of its tokens, see `write_setup`.
        out: The scratch file.
        fast: Use the fast encoder, and check it.
        validation_fraction: See `split_of`.
        test_fraction: See `split_of`.
    """

    number: int
    pieces: tuple[Piece, ...]
    setup: Path
    out: Path
    fast: bool
    validation_fraction: float
    test_fraction: float

    @property
    def num_bytes(self) -> int:
        """Bytes of text."""
        return sum(piece.num_bytes for piece in self.pieces)


@dataclass
class Done:
    """What a task has made.

    Attributes:
        parts: Where the documents of each split that has any are.
        statistics: What was counted.
        checked: Documents, or excerpts, compared with `tokenizers`.
        checked_bytes: Their bytes.
        differences: Texts whose ids differed.
    """

    parts: dict[Split, Part]
    statistics: TokenStatistics
    checked: int = 0
    checked_bytes: int = 0
    differences: list[str] = field(default_factory=list)


def write_setup(folder: Path, literal: LiteralEncoder, kinds: NDArray[np.uint8]) -> None:
    """Leave what the workers need to know about the tokenizer, once for all tasks."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ENCODER_FILE).write_text(literal.as_json(), encoding="utf-8")
    np.save(folder / KINDS_FILE, kinds)


@lru_cache(maxsize=1)
def _encoder(setup: Path, fast: bool, stamp: int) -> tuple[Encoder, NDArray[np.uint8]]:  # noqa: ARG001 - part of the key
    literal = LiteralEncoder.from_json((setup / ENCODER_FILE).read_text(encoding="utf-8"))
    encoder = Encoder(literal, FastEncoder(literal) if fast else None)
    literal.forget()
    return encoder, np.load(setup / KINDS_FILE)


def encode_task(task: Task) -> Done:
    """Do a task in a worker process, which reads about the tokenizer in the setup; see `encode_with`."""
    stamp = (task.setup / ENCODER_FILE).stat().st_mtime_ns
    return encode_with(*_encoder(task.setup, task.fast, stamp), task)


def encode_with(encoder: Encoder, kinds: NDArray[np.uint8], task: Task) -> Done:
    """Encode a task's documents and write them to its scratch file.

    With the fast encoder, a part of them is compared with `tokenizers`; at the first difference the task ends, and
    what it has written is of no use.

    Args:
        encoder: Finds the ids.
        kinds: `[vocab_size]` what the tokens are.
        task: What to encode.
    """
    splitter = Splitter(validation_fraction=task.validation_fraction, test_fraction=task.test_fraction)
    check = Check(encoder.literal, encoder.fast) if encoder.fast else None
    gathered = [_Gathered() for _ in SPLITS]
    done = Done({}, TokenStatistics(kinds))
    for batch in (batch for piece in task.pieces for batch in piece.batches()):
        stop.check()
        sides, unusual = splitter.split(batch.data, batch.bounds)
        encoded = encoder.encode(batch)
        if check:
            check.batch(batch, encoded.ids, encoded.counts, unusual)
            if check.differences:
                break
        _distribute(batch, encoded, sides, gathered)
        _count(batch, encoded, sides, done.statistics)
    if check:
        done.checked, done.checked_bytes, done.differences = check.documents, check.num_bytes, check.differences
    done.parts = _write(task.out, gathered)
    return done


class _Gathered:
    """The documents of one split in a task; the ids wait as the arrays they came in, never as lists."""

    def __init__(self) -> None:
        self.ids: list[NDArray[Any]] = []
        self.segments: list[NDArray[np.int32]] = []
        self.rows: list[pa.Table] = []
        self.num_bytes = 0

    def table(self) -> pa.Table:
        return pa.concat_tables(self.rows).combine_chunks()


def _distribute(batch: Batch, encoded: Encoded, sides: NDArray[np.uint8], gathered: list[_Gathered]) -> None:
    """Add a batch's documents to their splits, by runs of documents of one split."""
    rows = batch.rows
    for name, values in (
        ("num_bytes", batch.sizes),
        ("num_tokens", encoded.counts),
        ("num_segments", encoded.num_segments),
    ):
        rows = rows.append_column(name, int_array(values))
    token_ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(encoded.counts)])
    segment_ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(encoded.num_segments)])
    borders = [0, *(np.flatnonzero(np.diff(sides)) + 1).tolist(), len(batch)]
    for first, end in pairwise(borders):
        if first < end:
            split = gathered[sides[first]]
            split.ids.append(encoded.ids[token_ends[first] : token_ends[end]])
            split.segments.append(encoded.segments[segment_ends[first] : segment_ends[end]])
    for number in np.unique(sides):
        chosen = np.flatnonzero(sides == number)
        gathered[number].num_bytes += int(batch.sizes[chosen].sum())
        gathered[number].rows.append(rows if len(chosen) == len(rows) else rows.take(int_array(chosen)))


def _count(batch: Batch, encoded: Encoded, sides: NDArray[np.uint8], statistics: TokenStatistics) -> None:
    ids, sources, languages = (batch.rows.column(name).to_pylist() for name in COLUMNS)
    statistics.add(
        documents=ids,
        splits=[SPLITS[side] for side in sides.tolist()],
        sources=sources,
        languages=[canonical(tag) or tag for tag in languages],  # as an earlier version of `clean` wrote it
        num_bytes=batch.sizes,
        num_chars=batch.num_chars(),
        input_ids=encoded.ids,
        num_tokens=encoded.counts,
        text=batch.text,
        unread=encoded.unread,
    )


def _write(path: Path, gathered: list[_Gathered]) -> dict[Split, Part]:
    """Write the splits one after another: rows as an Arrow stream, ids, segments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts: dict[Split, Part] = {}
    with path.open("wb") as file:
        for split, found in zip(SPLITS, gathered, strict=True):
            if not found.rows:
                continue
            table = found.table()
            start = file.tell()
            with pa.ipc.new_stream(pa.PythonFile(file, "w"), table.schema) as stream:
                stream.write_table(table)
            places = [start, file.tell()]
            for arrays in (found.ids, found.segments):
                for array in arrays:
                    file.write(array.data)
                places.append(file.tell())
            rows, ids, segments = (Stretch(path, a, b) for a, b in pairwise(places))
            parts[split] = Part(
                rows,
                ids,
                segments,
                table.num_rows,
                sum(array.size for array in found.ids),
                found.num_bytes,
            )
    fsync(path)
    return parts
