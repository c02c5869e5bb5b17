"""Who may write into an output directory: nobody into what is not ours, and one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from llmkit.core.errors import ConfigError, SetupError
from llmkit.core.machine import limit_of
from llmkit.core.manifest import MANIFEST, PARTIAL
from llmkit.core.move import LOCK, RUN

EXIT = "exit.json"
"""How the last run under a foreign launcher ended: torchrun itself turns every code into 1."""


class Lock:
    """The lock on an output directory's `.partial/`, which is made by taking it.

    Args:
        partial: `OUT/.partial/`.
    """

    def __init__(self, partial: Path) -> None:
        self.dir = partial
        self._file: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process has it."""
        return self._file is not None

    def acquire(self) -> None:
        """Take it; the file is checked to be the one on disk, since a finishing process removes it.

        Raises:
            ConfigError: Another process has it.
        """
        while True:
            self.release()
            self.dir.mkdir(exist_ok=True)
            try:
                self._file = os.open(self.dir / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.release()
                raise ConfigError(
                    f"{self.dir.parent} is in use by another llmkit process",
                    hint="wait for it, or choose another --output",
                ) from None
            try:
                if os.fstat(self._file).st_ino == (self.dir / LOCK).stat().st_ino:
                    return
            except FileNotFoundError:
                continue

    def release(self) -> None:
        """Let go of it; without it nothing is done."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def make_directory(path: Path) -> list[Path]:
    """Make a directory and those above it that are missing; return what was missing, the innermost first.

    Raises:
        SetupError: None can be made there, as in `/proc`, whose error says that nothing of that name is there.
    """
    missing = [place for place in (path, *path.parents) if not os.path.lexists(place)]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if limit_of(error) is not None:
            raise
        raise SetupError(
            f"no directory can be made at {path}: {error.strerror}", hint="choose a path you may write"
        ) from error
    return missing


def remove_empty(made: Iterable[Path]) -> None:
    """Remove directories, the innermost first, up to the first that holds something."""
    with contextlib.suppress(OSError):
        for place in made:
            place.rmdir()


def check_owner(out: Path) -> None:
    """Refuse a directory that is not ours, whatever `--force` says.

    Raises:
        ConfigError: It holds something else, is no directory, or has a name that no manifest can hold.
    """
    try:
        str(out.absolute()).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"--output {str(out.absolute())!a} is not UTF-8", hint="choose another --output") from None
    if out.is_symlink() and not out.exists():
        raise ConfigError(f"--output {out} is a link to nothing", hint="choose a directory")
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError(f"--output {out} is a file", hint="choose a directory")
    partial = out / PARTIAL
    if (out / MANIFEST).exists() or (partial / RUN).exists() or (partial / LOCK).exists():
        return
    others = [entry.name for entry in out.iterdir() if entry.name not in ("lost+found", PARTIAL, EXIT)]
    if partial.is_dir():
        others += [f"{PARTIAL}/{entry.name}" for entry in partial.iterdir()]
    others = [name for name in others if not name.startswith(f"{PARTIAL}-")]
    if others:
        raise ConfigError(
            f"--output {out} is not an llmkit artifact and not empty (it holds {others[0]!r})",
            hint="choose another --output; --force does not touch it either",
        )
