"""Workers that are threads of this process: they start at once, and share what they know about the tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from llmkit.work.engine import Engine, wait_for

T = TypeVar("T")
R = TypeVar("R")

MAX_THREADS = 3
"""gigatoken and the interpreter take a third of the time, one thread at a time."""
FEW_TASKS = 16
"""A process takes as long to start as three or four tasks; with so few of them that is never made up for."""


class Threads(Engine):
    """Runs tasks in threads of this process; the results are those of any other engine.

    Args:
        workers: How many.
    """

    def __init__(self, workers: int) -> None:
        super().__init__("local", min(workers, MAX_THREADS))

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """Yield the results in the order of the tasks."""
        with ThreadPoolExecutor(self.workers) as pool:
            futures = [pool.submit(function, task) for task in tasks]
            try:
                for future in futures:
                    yield wait_for(future)
            finally:
                for future in futures:
                    future.cancel()


def suits(engine: Engine, num_tasks: int) -> bool:
    """Tell whether threads are faster than the engine for tasks of the fast encoder, which mostly run in parallel."""
    return engine.name == "local" and (engine.workers <= MAX_THREADS or num_tasks <= FEW_TASKS)
