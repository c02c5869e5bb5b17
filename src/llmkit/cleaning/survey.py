"""What a global step sees when it decides: the records of all tasks, bucket by bucket, and where verdicts go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from llmkit.cleaning.exchange import bucket_of, join, load_array, load_bucket, save_array, save_buckets
from llmkit.work.engine import Engine
from llmkit.work.once import run_plan

C = TypeVar("C")
R = TypeVar("R")

VERDICT = np.dtype(
    [("task", "u4"), ("row", "u4"), ("position", "u4"), ("keeper_task", "u4"), ("keeper_row", "u4"), ("value", "f4")]
)
"""A verdict on one document, or on one of its parts: where it stands, what is kept instead, a number for the report."""
_TASKS_PER_JOB = 64
ID_BYTES = 16


class Verdict(NamedTuple):
    """A verdict on the document at hand.

    Attributes:
        position: Which part of the document, where the step judges parts.
        keeper: Id of the document that stays instead, where there is one.
        value: A number for the report.
    """

    position: int
    keeper: str
    value: float


@dataclass(frozen=True)
class Survey:
    """The records that one global step's recorders left, and the verdicts that it gives.

    Attributes:
        folder: Scratch folder of the step.
        ids: Folder with every task's document ids.
        num_tasks: Tasks that recorded.
        num_buckets: Into how many buckets tables with keys are cut.
        before: Surveys of the steps that decide about the same documents earlier; who fell there is left out here.
    """

    folder: Path
    ids: Path
    num_tasks: int
    num_buckets: int
    before: tuple[Survey, ...] = ()

    def record(self, task: int, tables: Mapping[str, NDArray[Any]]) -> None:
        """Keep what a recorder collected in a task."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            path = self._path(name, task)
            if table.dtype.names and "key" in table.dtype.names:
                save_buckets(path, table, bucket_of(table["key"], self.num_buckets), self.num_buckets)
            else:
                save_array(path, table)

    def table(self, name: str, task: int) -> NDArray[Any]:
        """Map a task's table, in the order of its rows if it has no keys."""
        return load_array(self._path(name, task))

    def bucket(self, name: str, bucket: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return one bucket of a table with the fields `key`, `task` and `row`, from all tasks.

        `task` is filled in here. Documents that an earlier step of the same pass dropped are left out.
        """
        parts = []
        for task in range(self.num_tasks):
            part = np.array(load_bucket(self._path(name, task), bucket))
            part["task"] = task
            parts.append(part[~np.isin(part["row"], self.fallen(task))] if len(part) else part)
        return join(parts, dtype)

    def fallen(self, task: int) -> NDArray[np.uint32]:
        """Return the rows of a task that steps before this one drop."""
        return join((survey.verdicts(task)["row"] for survey in self.before), np.dtype("u4"))

    def map_buckets(
        self, engine: Engine, function: Callable[[tuple[C, Survey, int]], R], context: C, *, name: str = "buckets"
    ) -> Iterator[R]:
        """Run a job per bucket, `function((context, survey, bucket))`, and yield the results in order."""
        jobs = [(context, self, bucket) for bucket in range(self.num_buckets)]
        return run_plan(engine, function, jobs, self.folder / name)

    def leave(self, part: int, verdicts: NDArray[Any]) -> None:
        """Keep the verdicts of one job, cut by the task they concern; `judge` puts them together."""
        save_buckets(self._path("found", part), verdicts, verdicts["task"].astype(np.int64), self.num_tasks)

    def judge(self, engine: Engine, num_parts: int | None = None) -> None:
        """Put the verdicts of all jobs (as many as buckets, if not said) together, per task and in order of rows."""
        parts = self.num_buckets if num_parts is None else num_parts
        jobs = [
            (self, range(start, min(start + _TASKS_PER_JOB, self.num_tasks)), parts)
            for start in range(0, self.num_tasks, _TASKS_PER_JOB)
        ]
        for _ in run_plan(engine, _judge, jobs, self.folder / "judged"):
            pass

    def verdicts(self, task: int) -> NDArray[Any]:
        """Return the verdicts on a task's documents, by row and position."""
        return load_array(self._path("verdicts", task))

    def verdicts_by_row(self, task: int) -> dict[int, list[Verdict]]:
        """Return the verdicts on a task's documents, with the ids of those that stay instead."""
        found = self.verdicts(task)
        keepers = np.empty((len(found), ID_BYTES), np.uint8)
        for other in np.unique(found["keeper_task"]):
            chosen = found["keeper_task"] == other
            keepers[chosen] = load_array(self.ids_path(int(other)))[found["keeper_row"][chosen]]
        by_row: dict[int, list[Verdict]] = {}
        for verdict, keeper in zip(found.tolist(), keepers, strict=True):
            _, row, position, _, _, value = verdict
            by_row.setdefault(row, []).append(Verdict(position, keeper.tobytes().hex(), value))
        return by_row

    def ids_path(self, task: int) -> Path:
        """Return the file with a task's document ids, `[documents, 16]` bytes."""
        return self.ids / f"{task:06}.npy"

    def _path(self, name: str, part: int) -> Path:
        return self.folder / f"{name}-{part:06}.npy"


def _judge(job: tuple[Survey, range, int]) -> None:
    survey, tasks, num_parts = job
    for task in tasks:
        found = join((load_bucket(survey._path("found", part), task) for part in range(num_parts)), VERDICT)
        save_array(survey._path("verdicts", task), np.sort(found, order=("row", "position"), kind="stable"))
