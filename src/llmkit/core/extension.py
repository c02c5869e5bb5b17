"""Whether a run may go on with what one of the same identity but for its budget has done: if that is not too much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmkit.core.config import Budget, Config

Passed = Callable[[Path], str]
"""Says, of the folder of what a run has kept, which limit lies behind it, in words; empty where it can go on."""


RAISES = "raise that limit, or take it out, and it goes on; or choose another --output"
"""What helps where a limit lies behind what is done."""


def lowered_limits(config: Config, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the limits that are lower than in another run's config, in words, where a stage knows no better.

    What is done cannot be undone; no limit is the highest.
    """
    budget = [name for name, field in type(config).model_fields.items() if Budget in field.metadata]
    pairs = [(name, before.get(name), now.get(name)) for name in budget]
    lower = [
        f"{name}: {old} there, {new} now" for name, old, new in pairs if new is not None and (old is None or new < old)
    ]
    return "; ".join(lower)
