"""Map idempotent tasks over local processes or over Ray: the same functions, the same files, the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Literal, TypeVar

from llmkit.core.errors import SetupError
from llmkit.core.extras import require

T = TypeVar("T")
R = TypeVar("R")

EngineName = Literal["local", "ray"]
MAX_ATTEMPTS = 3
"""A task whose worker dies (out of memory, kill) is tried this often."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_NUM_THREADS"), "1")


def map_tasks(
    function: Callable[[T], R], tasks: Sequence[T], *, workers: int | None = None, engine: EngineName = "local"
) -> Iterator[R]:
    """Yield the results in the order of the tasks.

    Args:
        function: A module-level function; running it twice on the same task must give the same files.
        tasks: Picklable descriptions of the work.
        workers: Local processes; None for one per core, one meaning this process itself. Ray decides for itself.
        engine: `local` or `ray`.

    Raises:
        SetupError: Ray is asked for and not installed, or a task's worker died three times.
    """
    if engine == "ray":
        yield from _map_ray(function, tasks)
        return
    count = min(workers or len(os.sched_getaffinity(0)), len(tasks))
    if count <= 1:
        yield from map(function, tasks)
    else:
        yield from _map_local(function, tasks, count)


def _map_local(function: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[R]:
    done = 0
    for attempt in range(1, MAX_ATTEMPTS + 1):
        # spawn: a forked copy of a process with threads (Arrow, tokenizers) may hang.
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
        try:
            futures: list[Future[R]] = [executor.submit(function, task) for task in tasks[done:]]
            for future in futures:
                yield future.result()
                done += 1
            executor.shutdown()
            return
        except BrokenProcessPool:
            if attempt == MAX_ATTEMPTS:
                raise SetupError(
                    f"worker processes died {MAX_ATTEMPTS} times at task {done} of {len(tasks)} (out of memory?)",
                    hint="lower --workers",
                ) from None
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(_ONE_THREAD)


def _map_ray(function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
    ray: Any = require("ray")
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False, logging_level="warning")
    remote = ray.remote(max_retries=MAX_ATTEMPTS - 1)(function)
    for reference in [remote.remote(task) for task in tasks]:
        yield ray.get(reference)
