"""Compile a numeric loop to machine code once per machine, and run it without the interpreter from then on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function over NumPy arrays and numbers with numba, and keep the machine code on disk.

    Only integer arithmetic and plain float division belong in a kernel: the same bytes must come out on every machine,
    so nothing is reordered (`fastmath` stays off). Where no directory can be written, every process compiles again,
    which costs seconds and nothing else.
    """
    import numba

    try:
        return numba.njit(cache=True, nogil=True, boundscheck=False)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # "no locator available": neither the package nor the home directory is writable
        return numba.njit(nogil=True, boundscheck=False)(function)  # type: ignore[no-any-return]
