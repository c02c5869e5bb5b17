"""How many cores there are for the work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_told: list[int] = []


def num_cores() -> int:
    """Return the cores this process may run on; those of the machine where the system has no such list, as macOS."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def num_threads() -> int:
    """Return how many threads compute: what `limited` says, at most OMP_NUM_THREADS, or one for each core."""
    if _told:
        return _told[-1]
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(told), num_cores()) if told.isdigit() and int(told) else num_cores()


def is_limited() -> bool:
    """Tell whether `limited` says how many."""
    return bool(_told)


@contextmanager
def limited(count: int | None) -> Iterator[None]:
    """Let what is loaded within compute in so many threads; None leaves it as it is."""
    if count is None:
        yield
        return
    _told.append(count)
    try:
        yield
    finally:
        _told.pop()
