"""Python without what only Linux has, as far as llmkit asks for it: first on the path, it stands in for macOS."""

import ctypes
import errno
import os
import pathlib

del os.sched_getaffinity
del os.posix_fallocate
del errno.EREMOTEIO

_load, _read_text = ctypes.CDLL, pathlib.Path.read_text
_MISSING = {"prctl", "mallopt", "malloc_trim"}


class _Library:
    """The C library, without functions that are the kernel's or glibc's own."""

    def __init__(self, library):
        self._library = library

    def __getattr__(self, name):
        if name in _MISSING:
            raise AttributeError(name)
        return getattr(self._library, name)


def _opened(name, *arguments, **named):
    library = _load(name, *arguments, **named)
    return _Library(library) if name is None else library


def _read(path, *arguments, **named):
    if str(path).startswith(("/proc/", "/sys/")):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return _read_text(path, *arguments, **named)


ctypes.CDLL, pathlib.Path.read_text = _opened, _read
