"""Seal a folder: the file `complete.json`, written last, says what is in it, so that a torn or rotten one is found."""

from __future__ import annotations

import errno
import json
from pathlib import Path

from llmkit.core.digest import checksums
from llmkit.core.durable import fsync, write_json
from llmkit.core.machine import raise_limit

LONGEST = 200
"""Characters of a file's name."""
SEAL = "complete.json"
"""Size and checksum of every other file. A folder without it, or with other sizes, is torn."""


def seal(folder: Path) -> None:
    """Bring a folder's files to the disk, and write the seal."""
    files = sorted(folder.iterdir())
    sums = checksums(files)
    for file in files:
        fsync(file)
    described = [{"bytes": file.stat().st_size, "checksum": found} for file, found in zip(files, sums, strict=True)]
    write_json(folder / SEAL, dict(zip((file.name for file in files), described, strict=True)))
    fsync(folder)


def is_whole(folder: Path) -> bool:
    """Return whether every file of the seal is there with its size; reads no contents."""
    try:
        return all((folder / name).stat().st_size == size for name, (size, _) in _read(folder).items())
    except OSError as error:
        raise_limit(error)  # a whole one that cannot be opened now must not be taken for a torn one
        if error.errno not in (None, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise
        return False


def changed_files(folder: Path) -> list[str]:
    """Return the files of a whole folder whose contents are no longer what was written; reads all of them.

    Seals older than checksums say only sizes: nothing is read.
    """
    stated = {name: checksum for name, (_, checksum) in _read(folder).items() if checksum}
    found = checksums([folder / name for name in stated])
    return [name for name, now in zip(stated, found, strict=True) if now != stated[name]]


def _read(folder: Path) -> dict[str, tuple[int, str]]:
    """Return size and checksum by name.

    Raises:
        OSError: There is no seal, or it is none.
    """
    try:
        entries = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        found = {name: (item, "") if isinstance(item, int) else (item["bytes"], item["checksum"])
                 for name, item in entries.items()}  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise OSError(f"{folder / SEAL} cannot be read") from error
    if any(Path(name).name != name or "\0" in name or len(name) > LONGEST for name in found):
        raise OSError(f"{folder / SEAL} names what is no file")
    if not found:
        raise OSError(f"{folder / SEAL} lists nothing")
    return found
