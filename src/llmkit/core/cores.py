"""How many cores there are for the work."""

from __future__ import annotations

import os


def num_cores() -> int:
    """Return the cores this process may run on; those of the machine where the system has no such list, as macOS."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1
