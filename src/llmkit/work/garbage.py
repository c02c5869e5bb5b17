"""How often Python looks for garbage that refers to itself."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_ALLOCATIONS = 100_000


def collect_rarely() -> None:
    """Look after 100,000 objects that stayed, not after 700.

    Libraries make a million objects as they are imported, all of which stay: a tenth of the time of a run of seconds.
    Not for work on tensors, which garbage may hold: one object may be gigabytes.
    """
    gc.set_threshold(_ALLOCATIONS, *gc.get_threshold()[1:])


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Do so for as long as a block takes, such as one that imports or loads a model."""
    before = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.set_threshold(*before)
