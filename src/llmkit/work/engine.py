"""Map idempotent tasks over local processes or over Ray: the same functions, the same files, the same bytes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from llmkit.core import stop
from llmkit.core.cores import num_cores
from llmkit.core.errors import SetupError
from llmkit.core.extras import require
from llmkit.work.child import die_with
from llmkit.work.garbage import collect_rarely

T = TypeVar("T")
R = TypeVar("R")

EngineName = Literal["local", "ray"]
MAX_ATTEMPTS = 3
"""A task whose worker dies (out of memory, kill) is tried this often."""
_CONNECT_S = 10.0
_QUIET = "ignore:resource_tracker:UserWarning"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_NUM_THREADS"), "1")


class Engine:
    """Workers that run tasks; use it as a context manager, so that they start once for all the plans of a run.

    Args:
        name: `local` or `ray`.
        workers: Local processes; None for one per core, one meaning this process itself. Ray decides for itself.
    """

    def __init__(self, name: EngineName = "local", workers: int | None = None) -> None:
        self.name = name
        self.workers = workers or num_cores()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """Yield the results in the order of the tasks.

        Args:
            function: A module-level function; running it twice on the same task must give the same files.
            tasks: Picklable descriptions of the work.

        Raises:
            SetupError: Ray is asked for and not installed, or a task's worker died three times.
        """
        if self.name == "ray":
            return _map_ray(function, tasks)
        if min(self.workers, len(tasks)) <= 1:
            return _one_by_one(function, tasks)
        return self._map_local(function, tasks)

    def _map_local(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        done, attempt = 0, 1
        while True:
            futures: list[Future[R]] = []
            try:
                with _no_ctrl_c():  # the first of these starts the workers
                    futures.extend(self._running().submit(_open, _Sealed(function, task)) for task in tasks[done:])
                for future in futures:
                    yield wait_for(future)
                    done, attempt = done + 1, 1
                return
            except BrokenProcessPool:
                self._stop()
                if attempt == MAX_ATTEMPTS:
                    raise SetupError(
                        f"worker processes died {MAX_ATTEMPTS} times at task {done} of {len(tasks)} (out of memory?)",
                        hint="lower --workers",
                    ) from None
                attempt += 1
            except Exception:
                # Whoever does the work again, in another way, must not find that others still write.
                for future in [future for future in futures if not future.cancel()]:
                    _end_of(future)
                raise
            finally:
                for future in futures:
                    future.cancel()

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # What the tracker of semaphores would say of an interrupted run is no news; it gets this process's options.
            if _QUIET not in sys.warnoptions:
                sys.warnoptions.append(_QUIET)
            # spawn: a forked copy of a process with threads (Arrow, tokenizers) may hang.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),)
            )
        return self._pool

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            processes = multiprocessing.active_children()
            for process in processes:
                process.terminate()
            for process in processes:  # one that is still there could write what its successor writes
                process.join()
            self._pool = None


class _Sealed:
    """A task on its way: unpickled in the queue, a part that cannot be imported there would end the worker."""

    def __init__(self, function: Callable[[T], R], task: T) -> None:
        self.content = (function, task)

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (pickle.dumps(self.content),)


def _open(sealed: Any) -> Any:
    function, task = pickle.loads(sealed)  # noqa: S301 - pickled by the process that started this one
    return function(task)


def wait_for(future: Future[R]) -> R:
    """Return a task's result.

    Raises:
        Interrupted: A signal has come first.
    """
    stop.check()
    _end_of(future)
    return future.result()


def _end_of(future: Future[Any]) -> None:
    """Wait until a task has ended, and look now and then whether to stop: a lock alone would not be left."""
    while not (future.done() or wait([future], stop.POLL_S).done):
        stop.check()


def _one_by_one(function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
    for task in tasks:
        stop.check()
        yield function(task)


@contextlib.contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Hold SIGINT back, here and in processes that are started meanwhile: they would say `KeyboardInterrupt`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(parent: int) -> None:
    die_with(parent)
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(_ONE_THREAD)
    sys.stdout = sys.stderr  # the result is the parent's to print, whatever a part prints
    collect_rarely()


def _connect(ray: Any) -> None:
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS") or None
    match = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address or "")
    if match:
        try:  # Ray itself tries for minutes, and ends the process
            socket.create_connection((match[1], int(match[2])), _CONNECT_S).close()
        except OSError as error:
            raise _no_cluster(address, error) from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError) as error:  # no cluster is running; the address is none
        raise _no_cluster(address, error) from error
    stop.retake()  # Ray ends a process with code 1


def _no_cluster(address: str | None, error: Exception) -> SetupError:
    return SetupError(
        f"cannot connect to Ray at {address or 'this machine'}: {error}",
        hint="`ray status` on the head node; unset RAY_ADDRESS to start Ray on this machine alone",
    )


def _map_ray(function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
    ray: Any = require("ray")
    _connect(ray)
    remote = ray.remote(max_retries=MAX_ATTEMPTS - 1)(_run_there)
    shared, folder = ray.put(pickle.dumps(function)), str(Path.cwd())
    # Nothing is cancelled when a task fails: cancelling one that is about to end can abort this process. Ray ends what
    # is left as soon as this process exits.
    for done, reference in enumerate([remote.remote(shared, pickle.dumps(task), folder) for task in tasks]):
        try:
            while not ray.wait([reference], timeout=stop.POLL_S)[0]:
                stop.check()
            result: R = pickle.loads(ray.get(reference))  # noqa: S301 - pickled by our own task
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
            raise SetupError(
                f"Ray workers died {MAX_ATTEMPTS} times at task {done} of {len(tasks)} (out of memory?)",
                hint="give each worker more memory",
            ) from error
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None  # the task's own exception, as a local process would raise it
        yield result


def _run_there(function: bytes, task: bytes, folder: str) -> bytes:
    os.environ.update(_ONE_THREAD)
    with contextlib.suppress(OSError):  # paths in a config may be relative to where the command was typed
        os.chdir(folder)
    # Unpickled here, as in `_open`; arrays as they are would arrive read-only.
    return pickle.dumps(pickle.loads(function)(pickle.loads(task)))  # noqa: S301
