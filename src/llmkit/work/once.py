"""Tasks that are done once, however often the run is killed and begun again: finished results are read back."""

from __future__ import annotations

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
