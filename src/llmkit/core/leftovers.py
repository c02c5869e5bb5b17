"""Find what runs have left behind below a folder, and remove it: never an artifact, nor what a run could go on from.

A run works in `OUT/.partial/` under a lock, `--force` moves one aside to `OUT/.partial-DATE-TIME/`, and a finished run
keeps sealed folders (checkpoints) that a longer one goes on from. All else in OUT is the artifact's or the user's. What
has failed its check lies in `OUT.failed/`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from llmkit.core.claim import EXIT, Lock
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.failed import is_failed
from llmkit.core.manifest import MANIFEST, PARTIAL, read_manifest
from llmkit.core.move import LOCK, RUN, SCRATCH
from llmkit.core.seal import SEAL, is_whole

ASIDE = re.compile(rf"{re.escape(PARTIAL)}-(?:\d{{8}}-\d{{6}}|removed-\d+)")
"""Names of runs that were moved aside: by `--force`, and by a removal that was killed in the middle."""
CHECKPOINT = re.compile(r"step-\d+")
"""Names in the folder that a finished run has kept: what is called otherwise somebody has put there."""
KIND = Literal["run", "aside", "checkpoint", "exit", "failed"]
Resumable = Callable[[str], bool]
"""Tells of a stage by its name whether an interrupted run of it is gone on with."""


@dataclass(frozen=True)
class Leftover:
    """Something that is no artifact's.

    Attributes:
        path: Where it is.
        out: The output directory it belongs to.
        kind: What it is, for the removal.
        what: The same for people.
        why: Why it may go or, if it is kept, why it stays.
        num_bytes: What removing it frees; of files that a finished run shares with it, nothing.
        flag: The option that removes it as well; empty where it goes without one.
        kept: It stays.
    """

    path: Path
    out: Path
    kind: KIND
    what: str
    why: str
    num_bytes: int
    flag: str = ""
    kept: bool = False


def find_leftovers(root: Path, resumable: Resumable, *, flags: Sequence[str] = ()) -> list[Leftover]:
    """Return what runs have left in a folder and all below it, in the order of the paths; follows no link.

    Args:
        root: The folder.
        resumable: Knows the stages.
        flags: Options that were given, `--unfinished` or `--checkpoints`: what needs one of them is not kept then.
    """
    found: list[Leftover] = []
    for out in _folders(root):
        found += _in_output(out, resumable)
    return [replace(item, kept=False) if item.flag in flags and item.flag else item for item in found]


def remove(item: Leftover, resumable: Resumable) -> str:
    """Remove a leftover; return why it was left in the end, which is empty if it is gone.

    Nothing is half gone in its place: a run is renamed first, and a checkpoint loses its seal first, so that after a
    crash here neither is taken for something to go on from.
    """
    apart = item.kind in ("aside", "failed")
    lock = Lock(item.path if apart else item.out / PARTIAL)
    try:
        lock.acquire()
    except ConfigError:
        return "a process is at work there"
    try:
        now = [other for other in _in_output(item.out, resumable, ours=not apart) if other.path == item.path]
        if [(other.kind, other.what, other.flag) for other in now] != [(item.kind, item.what, item.flag)]:
            return "it has changed"
        _remove(item)
    finally:
        if lock.dir.is_dir() and _names(lock.dir) == {LOCK}:  # the lock alone has made it
            shutil.rmtree(lock.dir, ignore_errors=True)
        lock.release()
    with contextlib.suppress(OSError):  # what else is in it stays, and so does the current folder
        item.out.rmdir()
    return ""


def _remove(item: Leftover) -> None:
    place = item.path
    if item.kind == "exit":
        place.unlink()
        return
    if item.kind == "run":
        place = item.out / f"{PARTIAL}-removed-{os.getpid()}"
        item.path.rename(place)
    elif item.kind == "checkpoint":
        (place / SEAL).unlink(missing_ok=True)
    for entry in _entries(place):  # what it is known by goes last: killed in between, it is found again
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name not in (RUN, LOCK):
            Path(entry.path).unlink()
    shutil.rmtree(place)


def _folders(root: Path) -> Iterator[Path]:
    """Yield a folder and those below it, but none that is hidden, a link, or holds what a run has kept."""
    yield root
    kept = {kept for kept in (_kept_folder(root),) if kept}
    for entry in _entries(root):
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".") and entry.name not in kept:
            yield from _folders(Path(entry.path))


def _in_output(out: Path, resumable: Resumable, *, ours: bool = False) -> Iterator[Leftover]:
    """Yield what is left in one output directory.

    Args:
        out: The directory.
        resumable: Knows the stages.
        ours: This process holds the lock.
    """
    if is_failed(out):
        what = f"what {_stage(out)} has made, which failed its check"
        yield Leftover(out, out, "failed", what, "kept for a look", _size(out))
        return
    partial, busy, unfinished = out / PARTIAL, False, False
    if _is_folder(partial) and (item := _partial(out, resumable, ours=ours)) is not None:
        busy, unfinished = item.kept and not item.flag, bool(item.flag)
        yield item
    for entry in () if busy else _entries(out):
        place = Path(entry.path)
        if ASIDE.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False) and _is_run(place):
            why = "moved aside by --force" if "removed" not in entry.name else "a removal that was interrupted"
            what = f"{_stage_words(place)}{_checkpoint_words(place)}"
            yield Leftover(place, out, "aside", what, why, _size(place))
    if not busy:
        yield from _checkpoints(out, extended=unfinished)
    exit_file = out / EXIT
    if not busy and _is_verdict(exit_file) and not (out / MANIFEST).exists():
        yield Leftover(
            exit_file, out, "exit", "how a run under a launcher has ended", "the run is gone", _size(exit_file)
        )


def _partial(out: Path, resumable: Resumable, *, ours: bool) -> Leftover | None:
    """Return the run in `.partial`; None where it is none of ours."""
    place = out / PARTIAL
    names = _names(place)
    if (names and not _is_run(place) and MANIFEST not in names) or not place.is_dir():
        return None
    size, stage = _size(place), _stage(place)
    what = _stage_words(place)
    if not ours and _in_use(place):
        return Leftover(place, out, "run", what, "a process is at work there", size, kept=True)
    if MANIFEST in names:
        why = "it is whole and only has to be moved up: the same command again does that"
        return Leftover(place, out, "run", what, why, size, kept=True)
    if not (_sealed(place) or (place / SCRATCH).is_dir()):
        if stage is None or names <= {RUN, LOCK}:
            return Leftover(place, out, "run", what, "nothing is in it to go on from", size)
        return Leftover(place, out, "run", what, "it would begin anew", size)
    if stage is not None and not resumable(stage):
        return Leftover(place, out, "run", what, f"{stage} begins anew, whatever is there", size)
    why = "the same command again goes on with it"
    return Leftover(place, out, "run", f"{what}{_checkpoint_words(place)}", why, size, "--unfinished", kept=True)


def _checkpoints(out: Path, *, extended: bool) -> Iterator[Leftover]:
    """Yield the checkpoints of a finished run: the newest whole one is what a longer run goes on from."""
    name = _kept_folder(out)
    if not name or not _is_folder(out / name):
        return
    entries = [entry for entry in _entries(out / name) if CHECKPOINT.fullmatch(entry.name)]
    folders = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    whole = [folder for folder in folders if is_whole(folder)]
    for folder in folders:
        size = _size(folder)
        if folder not in whole:
            yield Leftover(folder, out, "checkpoint", "checkpoint that is torn", "nothing reads it", size)
        elif extended:
            why = "the unfinished run beside it goes on from this one"
            yield Leftover(folder, out, "checkpoint", "checkpoint", why, size, kept=True)
        elif folder != whole[-1]:
            yield Leftover(folder, out, "checkpoint", "checkpoint", "a newer one is there", size)
        else:
            why = "a longer run goes on from it"
            yield Leftover(folder, out, "checkpoint", "last checkpoint", why, size, "--checkpoints", kept=True)


def _kept_folder(out: Path) -> str:
    """Return the folder that a finished run has kept for longer ones; empty for none."""
    try:
        manifest = read_manifest(out)
    except DataError:  # damaged: nothing is known of what is in it, so nothing is left over
        return ""
    return manifest.kept if manifest is not None else ""


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, by name; nothing if a run that has just ended has taken it away."""
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in _entries(folder)}


def _is_run(place: Path) -> bool:
    """Tell a run's folder from one of somebody else's: by the run's file or, killed before it, by the empty lock."""
    lock = place / LOCK
    return _stage(place) is not None or (lock.is_file() and not lock.is_symlink() and not lock.stat().st_size)


def _is_verdict(file: Path) -> bool:
    """Tell the file in which a launched run says how it has ended from another of that name."""
    if not file.is_file() or file.is_symlink():
        return False
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() == {"exit_code", "rank", "processes", "message"}


def _in_use(partial: Path) -> bool:
    """Tell whether a process holds the lock; makes none, and asks for no more than to read."""
    try:
        lock = os.open(partial / LOCK, os.O_RDONLY)
    except FileNotFoundError:  # whoever works there has made it
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _stage(place: Path) -> str | None:
    """Return which stage a run is of; None where its file is gone or damaged."""
    try:
        stage = json.loads((place / RUN).read_bytes())["stage"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return stage if isinstance(stage, str) else None


def _stage_words(place: Path) -> str:
    stage = _stage(place)
    return f"unfinished run of {stage}" if stage else "unfinished run"


def _sealed(place: Path) -> list[Path]:
    """Return the whole checkpoints of an unfinished run, whatever its stage calls their folder."""
    return sorted(seal.parent for seal in place.glob(f"*/*/{SEAL}") if is_whole(seal.parent))


def _checkpoint_words(place: Path) -> str:
    sealed = _sealed(place)
    return f", at {sealed[-1].name}" if sealed else ""


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder that no other name keeps."""
    if not path.is_dir():
        return path.lstat().st_size
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # of a run that is alive
                stat = (Path(folder) / name).lstat()
                total += stat.st_size if stat.st_nlink == 1 else 0
    return total
