"""What a cleaning will take, before it is started: tasks, passes and the disk it needs at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

from llmkit.cleaning.plan import SPOOL_BYTES, TASK_BYTES, Pass, make_passes
from llmkit.cleaning.steps import Order, Step
from llmkit.core.inputs import RawFile
from llmkit.core.page import size
from llmkit.core.stage import Estimate
from llmkit.data.sources import Record, Source
from llmkit.data.sources._streams import CODECS

COMPRESSED = (*CODECS, ".parquet")
EXPANSION = 5
"""Text in a compressed file, as a multiple of its size: prose has 2.5 to 4."""
SAMPLE_ROWS = 100
"""Read of every input, to know how long its rows are."""
ROW_BYTES, RECORD_BYTES = 350, 1000
"""Beside a document's text between two passes; of a document in the records of a step that compares documents."""


@dataclass(frozen=True)
class InputSizes:
    """How much there is to read.

    Attributes:
        num_files: Files.
        num_bytes: As they lie there.
        text_bytes: Once decompressed, at most.
        spooled_bytes: Of that in compressed files that are read once into the scratch folder, since they cannot be cut.
        num_rows: About how many, from the first rows of every input; more rather than less.
        num_tasks: About how many tasks it will be cut into.
    """

    num_files: int
    num_bytes: int
    text_bytes: int
    spooled_bytes: int
    num_rows: int
    num_tasks: int


def measure_inputs(inputs: Sequence[tuple[Source, list[RawFile]]]) -> InputSizes:
    """Return how much there is, from the files' sizes and the first rows of every input."""
    text = spooled = rows = tasks = 0
    for source, files in inputs:
        whole = sum(map(_text_bytes, files))
        text += whole
        spooled += sum(_text_bytes(file) for file in files if _is_spooled(file))
        rows += ceil(whole / _row_bytes(source, files))
        tasks += ceil(whole / TASK_BYTES)
    files = [file for _, found in inputs for file in found]
    return InputSizes(len(files), sum(file.num_bytes for file in files), text, spooled, rows, tasks)


def _text_bytes(file: RawFile) -> int:
    return file.num_bytes * (EXPANSION if _is_compressed(file) else 1)


def _is_compressed(file: RawFile) -> bool:
    return file.path.lower().endswith(COMPRESSED)


def _is_spooled(file: RawFile) -> bool:
    return file.path.lower().endswith(CODECS) and file.num_bytes > SPOOL_BYTES


def _row_bytes(source: Source, files: list[RawFile]) -> float:
    """Return the mean length of an input's first rows in bytes of text."""
    found = (row for file in files for row in source.read(file))
    lengths = [len(row.text.encode()) for row in islice(found, SAMPLE_ROWS) if isinstance(row, Record)]
    return max(1.0, sum(lengths) / len(lengths)) if lengths else float(TASK_BYTES)


def scratch_bytes(sizes: InputSizes, steps: Sequence[Step], passes: Sequence[Pass]) -> int:
    """Return the bytes that the scratch folder has at most, the corpus included, which is written there first.

    It holds the rows of compressed files, the documents between two passes (and once more while they are put in
    another order), the records of steps that compare documents, and the corpus.
    """
    copies = 1 + sum(isinstance(step, Order) for step in steps)
    between = copies * (sizes.text_bytes + sizes.num_rows * ROW_BYTES)
    records = sum(len(walk.records) for walk in passes) * sizes.num_rows * RECORD_BYTES
    return sizes.spooled_bytes + between + records + sizes.text_bytes


def estimate(inputs: Sequence[tuple[Source, list[RawFile]]], steps: Sequence[Step]) -> Estimate:
    """Return what cleaning some inputs takes; reads the first rows of each.

    Raises:
        DataError: A file cannot be read.
    """
    sizes = measure_inputs(inputs)
    passes = make_passes(steps, sizes.num_tasks, sizes.text_bytes, Path())
    scratch = scratch_bytes(sizes, steps, passes)
    order = next((step.type_name for step in steps if isinstance(step, Order)), None)
    described = [_describe(walk, last=walk is passes[-1], order=order) for walk in passes]
    values: dict[str, Any] = {
        "files": sizes.num_files,
        "bytes": sizes.num_bytes,
        "text_bytes": sizes.text_bytes,
        "tasks": sizes.num_tasks,
        "task_bytes": TASK_BYTES,
        "passes": described,
        "output": sizes.text_bytes,
        "disk": scratch,
    }
    facts = [
        ("files", f"{sizes.num_files:,}, {size(sizes.num_bytes)}"),
        ("tasks", f"about {sizes.num_tasks:,}, {size(TASK_BYTES)} each at most"),
        *((f"pass {number}", what) for number, what in enumerate(described, 1)),
        ("disk", f"{size(scratch)} at most while it runs, {size(sizes.text_bytes)} at most in the end"),
    ]
    return Estimate(facts, values, expansion_warnings(inputs))


def expansion_warnings(inputs: Sequence[tuple[Source, list[RawFile]]]) -> list[str]:
    """Say that text in compressed files is a guess."""
    if any(_is_compressed(file) for _, files in inputs for file in files):
        return [f"text in compressed files is counted as {EXPANSION} times their size"]
    return []


def _describe(walk: Pass, *, last: bool, order: str | None) -> str:
    """Say what a pass does."""
    parts = [f"drop what {placed.step.type_name} decided" for placed, _ in walk.verdicts]
    parts += [placed.step.type_name for placed in walk.steps]
    if walk.records:
        parts.append(f"compare for {' and '.join(placed.step.type_name for placed, _ in walk.records)}")
    if last:
        parts.append(f"write in the order of {order}" if order else "write")
    return ", ".join(parts or ["read"])
