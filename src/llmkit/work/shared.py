"""Folders that the processes of one machine make once, use together, and remove when the last of them ends.

Of eight processes that train together, one does the work and the others wait for it. Nothing relies on how a process
ends: what a killed one has left is removed by the next that makes a folder.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llmkit.core.errors import SetupError

NEW = ".new"
"""Suffix of a folder that is being made."""

_held: dict[Path, int] = {}
"""Folders in use here, each with the descriptor of it that holds a shared lock."""


def shared_folder(name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that is there until this process ends, and for no longer than anybody uses it.

    Args:
        name: Its name; it has to tell everything that decides what is in it.
        make: Fills the empty folder. It is called if no process that still runs has made it before.

    Raises:
        SetupError: The place for temporary folders is not this user's own.
    """
    base = _base()
    folder = base / name
    if folder in _held:
        return folder
    _sweep(base)
    with _alone(base, name):
        if not folder.is_dir():
            new = base / (name + NEW)
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            try:
                make(new)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            new.rename(folder)
        if not _held:
            atexit.register(_leave, os.getpid())
        _held[folder] = os.open(folder, os.O_RDONLY)
        fcntl.flock(_held[folder], fcntl.LOCK_SH)
    return folder


def place() -> Path:
    """Return where the folders are made."""
    return Path(tempfile.gettempdir())


def _base() -> Path:
    """Return the folder of folders; nobody else may put anything into it that would then be read."""
    base = place() / f"llmkit-{os.getuid()}"
    found = None
    while found is None:
        with suppress(FileExistsError):
            base.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # the last of its users has just removed it
            found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise SetupError(f"{base} can be written by others, and is not used", "TMPDIR=DIR names another place")
    return base


@contextmanager
def _alone(base: Path, name: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a name; yield False where it is held elsewhere and is not waited for."""
    path = base / f"{name}.lock"
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # the last user of another folder has just removed the empty base
            _base()
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            yield False
            return
        # Whoever held it before has removed the file: then another may hold the one that is there now.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                break
        os.close(descriptor)
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _remove_unused(folder: Path) -> None:
    """Remove a folder whose name's lock is held, if no process has it in use."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(base: Path) -> None:
    """Remove what killed processes have left: a model of theirs may take gigabytes."""
    entries: list[Path] = []
    with suppress(FileNotFoundError):  # another process has just removed it, since it was empty
        entries += base.iterdir()
    for folder in entries:
        if folder.is_dir() and folder not in _held:
            with _alone(base, folder.name.removesuffix(NEW), wait=False) as free:
                if free and folder.is_dir():
                    _remove_unused(folder)


def _leave(process: int) -> None:
    """Remove the folders that nobody else uses."""
    if os.getpid() != process:  # a fork: they are its parent's
        return
    for folder, descriptor in _held.items():
        with _alone(folder.parent, folder.name):
            os.close(descriptor)
            if folder.is_dir():
                _remove_unused(folder)
    _held.clear()
    with suppress(OSError):  # others are still there
        _base().rmdir()
