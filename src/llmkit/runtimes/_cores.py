"""How many cores the runtimes of a run compute on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from llmkit.core.cores import is_limited, limited, num_threads


@contextmanager
def on_cores(count: int | None) -> Iterator[None]:
    """Let models that are loaded within compute in so many threads; None for one on each core.

    Torch's number is the process's, and is put back.
    """
    torch = sys.modules.get("torch")  # not imported for it: a model of llama.cpp or a server's needs no torch
    before = None if torch is None else torch.get_num_threads()
    try:
        with limited(count):
            yield
    finally:
        torch = sys.modules.get("torch")
        if count is not None and torch is not None:
            torch.set_num_threads(num_threads() if before is None else before)


def take_cores() -> None:
    """Let torch compute in as many threads as `on_cores` says, where it does."""
    import torch

    if is_limited():
        torch.set_num_threads(num_threads())
