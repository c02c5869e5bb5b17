"""Run a plan: passes and surveys in turn on the workers, from the raw files to the shards of the corpus."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from llmkit.cleaning.plan import Pass, Task, make_passes, make_tasks
from llmkit.cleaning.shards import (
    SHARD_CHARS,
    Deal,
    DealtShard,
    Shard,
    Written,
    deal_task,
    group_by_size,
    write_dealt,
    write_shard,
)
from llmkit.cleaning.steps import GlobalStep, Order, Step
from llmkit.cleaning.tally import Tally
from llmkit.cleaning.task import Work, run_task
from llmkit.core.context import Context
from llmkit.core.inputs import RawFile
from llmkit.data.artifacts import Corpus
from llmkit.data.rows import Row
from llmkit.data.sources import Source
from llmkit.work.engine import Engine
from llmkit.work.once import run_once, run_plan


def clean_inputs(
    inputs: Sequence[tuple[Source, list[RawFile]]],
    steps: Sequence[Step],
    row: Row | None,
    out: Path,
    scratch: Path,
    engine: Engine,
    context: Context,
) -> tuple[Tally, int]:
    """Clean the inputs into `data-*.parquet` in the folder `out`.

    Whatever was finished by an earlier, interrupted run of the same config is taken from the folder `scratch`.

    Args:
        inputs: The sources and their files.
        steps: What is done to the documents.
        row: What kind of labelled rows the sources give; None for text.
        out: Where the shards go.
        scratch: Where work waits.
        engine: Where the tasks run.
        context: For progress, and `--strict`.

    Returns:
        The counts, and the bytes of text kept.
    """
    # Absolute: workers on other machines start in other folders.
    place = scratch.absolute() / ("strict" if context.strict else "lenient")
    result = run_once(
        place.parent, f"{place.name}-whole", lambda: _clean_inputs(inputs, steps, row, out, place, engine, context)
    )
    # Not before the result is noted: with half of these files gone there would be nothing to go on from.
    shutil.rmtree(place, ignore_errors=True)
    return result


def _clean_inputs(
    inputs: Sequence[tuple[Source, list[RawFile]]],
    steps: Sequence[Step],
    row: Row | None,
    out: Path,
    scratch: Path,
    engine: Engine,
    context: Context,
) -> tuple[Tally, int]:
    tasks = make_tasks(inputs, engine, scratch)
    walks = make_passes(steps, len(tasks), sum(task.num_bytes for task in tasks), scratch)
    tally, sizes = Tally(), [0] * len(tasks)
    for walk in walks[:-1]:
        sizes = _walk(walk, tasks, scratch, tally, engine, context)
        for placed, survey in walk.records:
            assert isinstance(placed.step, GlobalStep)
            with context.console.progress(f"comparing ({placed.step.type_name})", total=1, unit="") as progress:
                tally.counted(placed.position, placed.step.decide(survey, engine))
                progress.advance(1)
    order = next((step for step in steps if isinstance(step, Order)), None)
    works = [Work(task, walks[-1], scratch, context.strict) for task in tasks]
    if order is None:
        written = _write_in_order(works, sizes, row, scratch, engine, context)
    else:
        written = _write_dealt(works, sizes, order, row, scratch, tally, engine, context)
    return tally, _collect(written, out, scratch, tally)


def _walk(walk: Pass, tasks: list[Task], scratch: Path, tally: Tally, engine: Engine, context: Context) -> list[int]:
    """Take all tasks through a pass; return the characters of text that each has left."""
    label = "cleaning" if walk.steps or walk.number else "reading"
    label += f", pass {walk.number + 1}" if walk.number else ""
    works = [Work(task, walk, scratch, context.strict) for task in tasks]
    sizes = []
    with context.console.progress(label, total=sum(t.num_bytes for t in tasks) / 1e6, unit="MB") as progress:
        results = run_plan(engine, run_task, works, scratch / f"done-{walk.number}")
        for work, (counts, size) in zip(works, results, strict=True):
            tally.add(counts)
            sizes.append(size)
            progress.advance(work.task.num_bytes / 1e6)
            if walk.number:
                work.path(walk.number - 1).unlink(missing_ok=True)
    return sizes


def _write_in_order(
    works: list[Work], sizes: list[int], row: Row | None, scratch: Path, engine: Engine, context: Context
) -> list[Written]:
    by_number = {work.task.number: work for work in works}
    groups = group_by_size([work.task for work in works], sizes)
    shards = [
        Shard(scratch / "shards" / f"{i:06}", row, tuple(by_number[task.number] for task in group))
        for i, group in enumerate(groups)
    ]
    with context.console.progress("writing", total=len(shards), unit="shards") as progress:
        written = []
        for result in run_plan(engine, write_shard, shards, scratch / "written"):
            written.append(result)
            progress.advance(1)
    return written


def _write_dealt(
    works: list[Work],
    sizes: list[int],
    order: Order,
    row: Row | None,
    scratch: Path,
    tally: Tally,
    engine: Engine,
    context: Context,
) -> list[Written]:
    num_shards = 1 + sum(sizes) // SHARD_CHARS
    deals = tuple(Deal(work, order, num_shards) for work in works)
    with context.console.progress("ordering", total=len(deals), unit="tasks") as progress:
        for counts in run_plan(engine, deal_task, deals, scratch / "dealt-done"):
            tally.add(counts)
            progress.advance(1)
    shards = [DealtShard(scratch / "shards" / f"{i:06}", row, i, scratch, len(deals), order) for i in range(num_shards)]
    with context.console.progress("writing", total=num_shards, unit="shards") as progress:
        written = []
        for result in run_plan(engine, write_dealt, shards, scratch / "written"):
            written.append(result)
            progress.advance(1)
    return written


def _collect(written: list[Written], out: Path, scratch: Path, tally: Tally) -> int:
    """Move the shards that hold documents to their places and add up what they hold."""
    number, num_bytes = 0, 0
    for i, shard in enumerate(written):
        tally.add(shard.tally)
        num_bytes += shard.num_bytes
        for part in range(shard.num_files):
            file = scratch / "shards" / f"{i:06}" / Corpus.shard_name(part)
            place = out / Corpus.shard_name(number)
            if file.exists():  # else an earlier run was killed after it moved this one
                file.rename(place)
            assert place.exists(), f"{file} was written and is gone"
            number += 1
    return num_bytes
