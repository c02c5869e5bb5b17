"""What the machine ran out of or refused: one table from an error to its exit code, words and the next thing to do.

The command line prints by it, and by it a process of several says in `exit.json` how it has ended.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmkit.core.errors import ConfigError, Interrupted, MemoryLimitError, SetupError, UserError


@dataclass(frozen=True)
class Limit:
    """One kind of refusal.

    Attributes:
        error: What it is for the user, with the exit code.
        words: What is said; `{at}` is the file or what the system says, with a colon before it.
        hint: What to do next; `{again}` is to run the command again.
        numbers: The `errno` of it.
        texts: Parts of what libraries say that hide the number.
        types: Names of exceptions that mean it.
        deep: Whether it is the cause as well if it lies beneath another error, such as one of a library's own.
    """

    error: type[UserError]
    words: str
    hint: str
    numbers: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    deep: bool = False

    def covers(self, error: BaseException) -> bool:
        """Tell whether an error is of this kind."""
        text = str(error)
        numbers = (*self.texts, *(f"os error {number})" for number in self.numbers))  # as Rust writes it
        return (
            getattr(error, "errno", None) in self.numbers
            or any(kind.__name__ in self.types for kind in type(error).__mro__)
            or any(said in text for said in numbers)
        )


_EREMOTEIO = getattr(errno, "EREMOTEIO", errno.EIO)  # Linux alone has it
AGAIN = "run the same command again"
_GOES_ON = f"{AGAIN}: it goes on"
FULL = Limit(
    SetupError, "the disk is full{at}", "free some space and {again}; llmkit tidy DIR lists what runs left behind",
    (errno.ENOSPC, errno.EDQUOT),
    # The last is all that C++ streams, which torch writes through, say of a failed write.
    ("No space left on device", "Disk quota exceeded", "iostream error"), deep=True,
)  # fmt: skip
FILE_SIZE = Limit(
    SetupError, "a file is larger than this shell allows{at}", "ulimit -f unlimited; then {again}", (errno.EFBIG,),
    ("File too large",), deep=True,
)  # fmt: skip
LIMITS = (
    FILE_SIZE,
    FULL,
    Limit(
        SetupError, "too many open files{at}", "ulimit -n 4096; then {again}", (errno.EMFILE, errno.ENFILE),
        ("Too many open files",), deep=True,
    ),
    Limit(
        MemoryLimitError, "out of memory", "lower batch_tokens, context_length or workers", (errno.ENOMEM,),
        ("not enough memory", "allocate memory", "failed to map segment", "std::bad_alloc"),
        ("MemoryError", "OutOfMemoryError"), deep=True,
    ),
    Limit(
        SetupError, "this machine starts no more threads or processes{at}",
        "raise `ulimit -u` or `ulimit -v`, or lower --workers; then {again}", (),
        ("can't start new thread", "Resource temporarily unavailable", "pthread_create", "os error 11)"), deep=True,
    ),
    Limit(ConfigError, "a name is too long for this file system{at}", "choose a shorter one", (errno.ENAMETOOLONG,),
          ("File name too long",), deep=True),
    Limit(ConfigError, "a part of this path is a file, not a directory{at}", "choose another path", (errno.ENOTDIR,)),
    Limit(ConfigError, "links that lead in a circle{at}", "choose another path", (errno.ELOOP,)),
    Limit(ConfigError, "a name holds a zero byte", "look for \\0 in the recipe", (), ("embedded null",)),
    Limit(ConfigError, "a name or a value is not UTF-8{at}", "rename it", (), ("surrogates not allowed",)),
    Limit(SetupError, "the disk is read-only{at}", "choose a path you may write", (errno.EROFS,),
          ("Read-only file system",)),
    Limit(SetupError, "no permission{at}", "choose a path you may read and write", (errno.EACCES, errno.EPERM),
          ("Permission denied",)),
    Limit(SetupError, "the disk does not answer{at}", "{again}", (errno.EIO, errno.ESTALE, errno.ENXIO, _EREMOTEIO),
          ("Input/output error",)),
)  # fmt: skip


def limit_of(error: BaseException) -> Limit | None:
    """Return the kind of an error, or of those it was raised from, that the machine is to blame for; else None."""
    for depth, each in enumerate(_chain(error)):
        for limit in LIMITS:
            if (limit.deep or not depth) and limit.covers(each):
                return FILE_SIZE if limit is FULL and _capped(each) else limit
    return None


def raise_limit(error: Exception) -> None:
    """Raise an error again that only says that the machine ran short: what was read or loaded is not to blame."""
    found = limit_of(error)
    if found is not None and found.deep:
        raise error


def explain(
    error: BaseException, output: Path | None = None, *, goes_on: bool = True
) -> UserError | Interrupted | None:
    """Return an error as the user is told of it; None for a bug.

    Args:
        error: Any.
        output: Where the command writes; it says which disk is full where the error does not.
        goes_on: The same command would go on with what is done so far.
    """
    if isinstance(error, UserError | Interrupted):
        return error
    limit = limit_of(error)
    if limit is None:
        return None
    name = next((name for each in _chain(error) if (name := getattr(each, "filename", None))), None)
    at = f": {_shortened(os.fsdecode(name))}" if isinstance(name, bytes | str | Path) else _said(error)
    if limit is FULL:
        at = f": {_disk(name, output)}"
    return limit.error(limit.words.format(at=at), hint=limit.hint.format(again=_GOES_ON if goes_on else AGAIN))


def exit_code(error: BaseException) -> int:
    """Return the code with which the command line ends."""
    if isinstance(error, BrokenPipeError):  # the reader has what it wanted
        return 0
    known = explain(error)
    return 1 if known is None else known.exit_code


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those it was raised from: `torch.save` hides the failed write behind one of its own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _shortened(name: str) -> str:
    """Show of the parts of a path that are too long where they begin and how long they are."""
    return "/".join(
        part if len(part) <= 100 else f"{part[:40]}... ({len(part)} characters)" for part in name.split("/")
    )


def _said(error: BaseException) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f": {error.object!a}"
    text = str(error).strip().split("\n", 1)[0]
    return f": {text}" if text else ""


def _capped(error: BaseException) -> bool:
    """Whether a failed write that has no number was one beyond `ulimit -f`."""
    limited = resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY
    return limited and "iostream error" in str(error) and getattr(error, "errno", None) is None


def _disk(name: str | bytes | None, output: Path | None) -> str:
    """Say how much a disk holds: that of the file, else that of the output."""
    place = Path(os.fsdecode(name)) if name else output or Path()
    place = next((path for path in (place, *place.absolute().parents) if os.path.lexists(path)), Path.cwd())
    disk, shown = shutil.disk_usage(place), os.fsdecode(name) if name else place
    return f"{shown} ({disk.free / 1e6:,.1f} MB of {disk.total / 1e6:,.1f} MB are free there)"
