"""Compile a numeric loop to machine code once per machine, and run it without the interpreter from then on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function over NumPy arrays and numbers with numba, and keep the machine code on disk.

    Only integer arithmetic and plain float division belong in a kernel: the same bytes must come out on every machine,
    so nothing is reordered (`fastmath` stays off). Where no directory can be written, every process compiles again,
    which costs seconds and nothing else.
    """
    import numba

    _start_lean()
    try:
        return numba.njit(cache=True, nogil=True, boundscheck=False)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # "no locator available": neither the package nor the home directory is writable
        return numba.njit(nogil=True, boundscheck=False)(function)  # type: ignore[no-any-return]


@cache
def _start_lean() -> None:
    """Leave out what numba would import with the first kernel, and no kernel here uses: half a second per process.

    Packages register with numba, as awkward does, which comes with gigatoken. And `scipy.linalg` is imported only to
    note that products of matrices would work; where one is compiled, numba asks again, and is told.
    """
    from numba.core import entrypoints
    from numba.np import linalg

    entrypoints._already_initialized = True
    ensure_blas = linalg.ensure_blas

    def ensure_blas_when_needed() -> None:
        if hasattr(sys.modules.get("numba.np.arraymath"), "_HAVE_BLAS"):
            ensure_blas()

    linalg.ensure_blas = ensure_blas_when_needed
