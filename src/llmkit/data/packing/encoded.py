"""Encoded rows on disk: named columns, one file each, memory-mapped, whatever their rows are made of.

An example is what a row becomes, or a part of one: `{"input_ids": [101, 7, 102], "labels": 1}`. A column is ragged
(token ids, and what goes along with them) or has the same shape in every row (a label, pixels):

    DIR/input_ids.bin    values of all rows, one after another
    DIR/labels.bin
    DIR/rows.npz         lengths of the ragged columns, each row's position in the data, bytes of text it stands for
    DIR/columns.json     type, padding and shape of the columns
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from llmkit.core.durable import fsync
from llmkit.core.json import dumps
from llmkit.data.packing.batch import Ints
from llmkit.data.packing.packer import cumulative, ranges
from llmkit.data.unread import Unread

_ROWS, _COLUMNS = "rows.npz", "columns.json"
_COPY_BYTES = 2**20
_POSITIONS, _NUM_BYTES = "positions", "num_bytes"


@dataclass(frozen=True)
class Column:
    """How the values of a column are kept.

    Attributes:
        dtype: NumPy type on disk; a batch has int64 for integers and float32 for other numbers.
        pad: What a shorter row of a ragged column is filled up with; None where all rows have one shape.
        shape: That shape; found with the first row.
    """

    dtype: str = "int32"
    pad: float | None = 0
    shape: tuple[int, ...] = ()


@dataclass(slots=True)
class Example:
    """What one row becomes, or a part of it.

    Attributes:
        columns: By name, `[length]` of a ragged column, else of the column's shape.
        targets: How many things are to be predicted in it.
        num_bytes: UTF-8 bytes that its targets stand for, where that means something.
        cut: Something of the row was left out, because it was too long.
        notes: What else is to be counted of it, by the objective's names for it.
        unread: How many of `num_bytes` the tokenizer did not read.
        length: Tokens that the row would have, where it was too long; of several examples the first says it.
    """

    columns: dict[str, ArrayLike]
    targets: int = 1
    num_bytes: int = 0
    cut: bool = False
    notes: Mapping[str, int] = field(default_factory=dict)
    unread: Unread = Unread()  # noqa: RUF009 - a tuple
    length: int = 0


LONG = "long"
"""Code of a row that is left out because it is too long, and what must stay of it does not fit."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why a row becomes no example.

    Attributes:
        code: What it is counted by.
        why: The reason, for people.
        length: See `Example`.
    """

    code: str
    why: str
    length: int = 0


Outcome = Example | Sequence[Example] | LeftOut
"""What becomes of a row: an example, several that stay together in a split, or why there is none."""


def examples_of(outcome: Outcome) -> Sequence[Example]:
    """Return the examples that a row became; none where it was left out."""
    if isinstance(outcome, Example):
        return (outcome,)
    return () if isinstance(outcome, LeftOut) else outcome


class EncodedRows:
    """Encoded rows, in memory or memory-mapped; a row that became several examples is as many here.

    Attributes:
        columns: How each is kept.
        values: Flat values of each.
        positions: `[num_rows]`: which row of the data each comes from; several may come from one.
        num_bytes: `[num_rows]`: see `Example`.

    Args:
        columns, values, positions, num_bytes: See above.
        lengths: `[num_rows]` of each ragged column.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        values: Mapping[str, NDArray[Any]],
        lengths: Mapping[str, Ints],
        positions: Ints,
        num_bytes: Ints,
    ) -> None:
        self.columns, self.values = dict(columns), dict(values)
        self.positions, self.num_bytes = positions, num_bytes
        self._lengths = dict(lengths)
        self._starts = {name: cumulative(sizes) for name, sizes in lengths.items()}

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def of(cls, columns: Mapping[str, Column], examples: Sequence[Example], positions: ArrayLike = ()) -> EncodedRows:
        """Keep examples in memory.

        Args:
            columns: By name; every example has them all.
            examples: The examples.
            positions: `[num_rows]`; by default they are numbered.
        """
        known: dict[str, Column] = {}
        values, lengths = {}, {}
        for name, column in columns.items():
            arrays = [np.asarray(example.columns[name], column.dtype) for example in examples]
            known[name] = column
            if column.pad is None:
                shape = arrays[0].shape if arrays else column.shape
                known[name] = Column(column.dtype, None, shape)
            else:
                lengths[name] = np.array([array.size for array in arrays], np.int64)
            values[name] = np.concatenate([array.ravel() for array in arrays] or [np.empty(0, column.dtype)])
        where = np.asarray(positions if np.size(positions) else range(len(examples)), np.int64)
        return cls(known, values, lengths, where, np.array([example.num_bytes for example in examples], np.int64))

    @property
    def ragged(self) -> list[str]:
        """Names of the ragged columns."""
        return list(self._lengths)

    def lengths(self, name: str) -> Ints:
        """Return the lengths of a ragged column, `[num_rows]`."""
        return self._lengths[name]

    @property
    def num_tokens(self) -> Ints:
        """Tokens of each row, `[num_rows]`: the lengths of its sequences of ids, at least 1."""
        counted = [sizes for name, sizes in self._lengths.items() if name.endswith("input_ids")]
        return np.maximum(sum(counted, np.zeros(len(self), np.int64)), 1)

    def flat(self, name: str, rows: Ints, offsets: Ints, sizes: Ints) -> NDArray[Any]:
        """Return stretches of a ragged column, joined: `sizes[i]` values of row `rows[i]` from `offsets[i]` on."""
        return self.values[name][ranges(self._starts[name][rows] + offsets, sizes)]

    def stretch(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return the values of a ragged column of the rows from `start` to `stop`, joined."""
        starts = self._starts[name]
        return self.values[name][starts[start] : starts[stop]]

    @property
    def pads(self) -> dict[str, float]:
        """What ragged columns are filled up with, by name."""
        return {name: column.pad for name, column in self.columns.items() if column.pad is not None}

    def padded(self, rows: Ints) -> dict[str, NDArray[Any]]:
        """Return the columns of some rows, `[n, ...]`; ragged ones are as wide as the longest, `NAME_length` beside."""
        found: dict[str, NDArray[Any]] = {}
        for name, column in self.columns.items():
            kind = np.int64 if np.issubdtype(np.dtype(column.dtype), np.integer) else np.float32
            if column.pad is None:
                size = int(np.prod(column.shape))
                flat = self.values[name][ranges(rows * size, np.full(rows.size, size))]
                found[name] = flat.astype(kind).reshape(rows.size, *column.shape)
                continue
            sizes = self._lengths[name][rows]
            padded = np.full((rows.size, int(sizes.max(initial=0))), column.pad, kind)
            padded[np.arange(padded.shape[1]) < sizes[:, None]] = self.flat(name, rows, np.zeros_like(sizes), sizes)
            found |= {name: padded, f"{name}_length": sizes}
        return found

    @classmethod
    def open(cls, folder: Path) -> EncodedRows:
        """Map saved rows into memory."""
        described = json.loads((folder / _COLUMNS).read_text(encoding="utf-8"))
        columns = {name: Column(**{**facts, "shape": tuple(facts["shape"])}) for name, facts in described.items()}
        with np.load(folder / _ROWS) as rows:
            kept = {name: rows[name] for name in rows.files}
        positions, num_bytes = kept.pop(_POSITIONS), kept.pop(_NUM_BYTES)
        values = {name: _mapped(folder / f"{name}.bin", column.dtype) for name, column in columns.items()}
        return cls(columns, values, kept, positions, num_bytes)


def save_joined(folder: Path, parts: Sequence[EncodedRows]) -> None:
    """Write the rows of one part or several into a folder, in order; values are copied from file to file.

    Args:
        folder: Where to; made, and written over.
        parts: Rows of the same columns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = next((part for part in parts if len(part)), parts[0])  # one without rows does not know the shapes
    for name in first.columns:
        with (folder / f"{name}.bin").open("wb") as file:
            for part in parts:
                _write(part.values[name], file)
    kept = {
        **{name: np.concatenate([part.lengths(name) for part in parts]) for name in first.ragged},
        _POSITIONS: np.concatenate([part.positions for part in parts]),
        _NUM_BYTES: np.concatenate([part.num_bytes for part in parts]),
    }
    np.savez(folder / _ROWS, **kept)  # type: ignore[arg-type]
    described = {name: asdict(column) for name, column in first.columns.items()}
    (folder / _COLUMNS).write_text(dumps(described), encoding="utf-8")
    for path in folder.iterdir():
        fsync(path)


def _write(values: NDArray[Any], file: BufferedWriter) -> None:
    path = Path(str(values.filename)) if isinstance(values, np.memmap) else None
    if path is None or path.stat().st_size != values.nbytes:
        values.tofile(file)
        return
    with path.open("rb") as source:  # through the map all of it would come to lie in memory
        shutil.copyfileobj(source, file, _COPY_BYTES)


def _mapped(path: Path, dtype: str) -> NDArray[Any]:
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)
