"""Tasks that are done once, however often the run is killed and begun again: finished results are read back."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llmkit.core.durable import fsync
from llmkit.work.engine import Engine

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Once:
    """A function that does its work once: the result of a finished task is read back from its file.

    Args:
        function: What to do with a task; it has to be repeatable.
        folder: Where the results are.
    """

    function: Callable[[Any], Any]
    folder: Path

    def __call__(self, numbered: tuple[int, Any]) -> Any:
        """Return the result of a task, given as (number, task)."""
        number, task = numbered
        path = self.folder / f"{number:06}.done"
        if path.exists():
            return pickle.loads(path.read_bytes())  # noqa: S301 - written by ourselves, in our own scratch folder
        result = self.function(task)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL))
        fsync(temporary)
        temporary.replace(path)
        return result


def windows(
    function: Callable[[Iterator[T], Path], R], records: Iterator[T], folder: Path, used: Callable[[R], int]
) -> Iterator[tuple[R, bool]]:
    """Yield what becomes of window after window of some records, each done once as `Once` has it.

    Windows are a function of the records alone: of one that an earlier, interrupted run has done, they are counted off.

    Args:
        function: Takes the records, of which it uses up some, and where its own files may go: a path without an ending.
        records: All of them.
        folder: Where the results are.
        used: Returns how many records a result has used up; with none, it is the end.

    Yields:
        A result, and whether it was there before.
    """
    folder.mkdir(exist_ok=True)
    for number in itertools.count():
        place = folder / f"{number:06}"
        before = place.with_suffix(".done").exists()
        result: R = Once(lambda place: function(records, place), folder)((number, place))
        count = used(result)
        if not count:
            return
        if before:
            next(itertools.islice(records, count - 1, None), None)
        yield result, before


def run_plan(engine: Engine, function: Callable[[T], R], tasks: Sequence[T], folder: Path) -> Iterator[R]:
    """Yield the results of a plan's tasks in order, each done once however often the run is killed and begun again."""
    folder.mkdir(parents=True, exist_ok=True)
    return engine.map(Once(function, folder), list(enumerate(tasks)))


def run_once(folder: Path, name: str, function: Callable[[], R]) -> R:
    """Do a piece of work once, in this process, and return its result ever after."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    result: R = Once(lambda _: function(), place)((0, None))
    return result
