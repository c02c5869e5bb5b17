"""Carry out predictions window by window: what is done is kept, and an interrupted run goes on behind it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from llmkit.core.context import Context
from llmkit.core.durable import fsync
from llmkit.core.errors import DataError
from llmkit.core.inputs import RawFile
from llmkit.core.json import dumps
from llmkit.data.artifacts import Predictions
from llmkit.data.sources import Broken
from llmkit.prediction.batches import answer_all
from llmkit.prediction.outputs import Output
from llmkit.prediction.rows import Item, Reader, read
from llmkit.prediction.tally import Tally
from llmkit.work.once import windows

if TYPE_CHECKING:
    from llmkit.prediction.writing import TextAnswers
    from llmkit.runtimes._heads import HeadAnswers

WINDOW_ROWS = 4096
WINDOW_CHARS = 4 * 2**20
"""Rows, and characters of text, that are encoded and sorted by length together; a kill loses as many at most."""
SHARD_BYTES = 256 * 2**20
"""Bytes of a Parquet file, before which no other is begun."""

Rows = Iterator[tuple[RawFile, Item | Broken]]


@dataclass(frozen=True)
class Prediction:
    """What is done with each window.

    Attributes:
        answers: The model.
        output: What becomes of its answers.
        kept: Fields whose texts are kept.
        alone: Ask one request at a time.
        strict: Stop at the first row that cannot be read.
    """

    answers: HeadAnswers | TextAnswers
    output: Output
    kept: Sequence[str]
    alone: bool
    strict: bool

    @property
    def schema(self) -> pa.Schema:
        """The columns: id, texts, answers, where the row stood, and the other columns as JSON."""
        texts = [pa.field(name, pa.string()) for name in self.kept]
        place = [pa.field("source", pa.string()), pa.field("file", pa.string()), pa.field("row", pa.int64())]
        return pa.schema(
            [pa.field("id", pa.string()), *texts, *self.output.fields(), *place, pa.field("meta", pa.string())]
        )

    def window(self, rows: Rows, path: Path, advance: Callable[[int], None]) -> Tally:
        """Answer the next window of rows and write it as Parquet, unless there are no more."""
        tally, items, files = Tally(), list[Item](), list[RawFile]()
        size = 0
        while tally.records < WINDOW_ROWS and size < WINDOW_CHARS and (found := next(rows, None)) is not None:
            file, row = found
            if isinstance(row, Broken):
                self._unreadable(file, row, tally)
                continue
            tally.item(file, row)
            items.append(row)
            files.append(file)
            size += sum(len(text or "") for text in row.texts.values())
        asked = [(file, item) for file, item in zip(files, items, strict=True) if item.request is not None]
        columns = self._answer([item for _, item in asked], tally, advance)
        for file, item in asked:
            if item.request is None:
                tally.without_token(file)
        if items:
            place = itertools.count()
            index = pa.array([None if item.request is None else next(place) for item in items], pa.int64())
            pq.write_table(self._table(items, [column.take(index) for column in columns]), path)
            fsync(path)
        return tally

    def _answer(self, items: list[Item], tally: Tally, advance: Callable[[int], None]) -> list[pa.Array]:
        """Return the columns of rows with an answer; those for whose text no token stands lose their request."""
        nothing = [pa.nulls(0, field.type) for field in self.output.fields()]
        if not items:
            return nothing
        requests = [item.request for item in items if item.request is not None]
        found, tally.cut = answer_all(self.answers, requests, alone=self.alone, advance=advance)
        for item, answer in zip(items, found, strict=True):
            item.request = None if answer is None else item.request
        items = [item for item in items if item.request is not None]
        found = [answer for answer in found if answer is not None]
        if not items:
            return nothing
        columns, said = self.output.columns(found, [item.texts["text"] or "" for item in items])
        tally.answered(items, said)
        return columns

    def _table(self, items: list[Item], answers: list[pa.Array]) -> pa.Table:
        own: dict[str, Any] = {
            "id": [item.id for item in items],
            **{name: [item.texts.get(name) for item in items] for name in self.kept},
        }
        place = {
            "source": [item.source for item in items], "file": [item.file for item in items],
            "row": [item.row for item in items], "meta": [dumps(item.meta, sort_keys=True) for item in items],
        }  # fmt: skip
        given = {**own, **dict(zip([field.name for field in self.output.fields()], answers, strict=True)), **place}
        schema = self.schema
        return pa.Table.from_arrays(
            [pa.array(v, field.type) if isinstance(v := given[field.name], list) else v for field in schema],
            schema=schema,
        )

    def _unreadable(self, file: RawFile, row: Broken, tally: Tally) -> None:
        if self.strict:
            where = f"{file.path}:{row.line}" if row.line else f"{file.path}: row {row.row + 1}"
            raise DataError(f"{where}: {row.reason}", hint="leave out --strict to set broken rows aside")
        tally.unreadable(file, row)


def predict(prediction: Prediction, readers: Sequence[Reader], out: Path, scratch: Path, context: Context) -> Tally:
    """Answer all rows, and write them to `data-*.parquet` in the folder `out`; done windows are in `scratch`."""
    place = scratch / ("strict" if prediction.strict else "lenient")
    total, rows = Tally(), read(readers)
    with context.console.progress("predicting", unit="rows") as progress:
        done = windows(
            lambda rows, path: prediction.window(rows, path.with_suffix(".parquet"), progress.advance), rows, place,
            lambda tally: tally.records,
        )  # fmt: skip
        for tally, before in done:
            if before:
                progress.begin_at(progress.count + tally.predicted)
            total.add(tally)
    _write_shards(sorted(place.glob("*.parquet")), out, prediction.schema)
    return total


def _write_shards(parts: Sequence[Path], out: Path, schema: pa.Schema) -> None:
    """Join the windows, in order, into files of bounded size."""
    shards: list[list[Path]] = []
    size = SHARD_BYTES
    for part in parts:
        if size >= SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(part)
        size += part.stat().st_size
    for number, group in enumerate(shards):
        path = out / Predictions.shard_name(number)
        with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=["source", "file"]) as writer:
            for part in group:
                writer.write_table(pq.read_table(part, schema=schema))


__all__ = ["Prediction", "predict"]
