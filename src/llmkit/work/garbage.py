"""How often Python looks for garbage that refers to itself."""

from __future__ import annotations

import gc

_ALLOCATIONS = 100_000


def collect_rarely() -> None:
    """Look after 100,000 objects that stayed, not after 700.

    Libraries make a million objects as they are imported, all of which stay: a tenth of the time of a run of seconds.
    Not for work on tensors, which garbage may hold: one object may be gigabytes.
    """
    gc.set_threshold(_ALLOCATIONS, *gc.get_threshold()[1:])
