"""Turn a finished `.partial/` into the artifact: old files out, new files up, `llmkit.json` last."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmkit.core.durable import NEW, fsync
from llmkit.core.manifest import MANIFEST

RUN = "run.json"
LOCK = "lock"
SCRATCH = "scratch"
"""Folder inside `.partial/` for files that are not part of the result."""
REPLACED = "replaced.json"
"""Copy of the manifest that a finished build is about to replace: which files to remove, even after a crash."""
OWN = (RUN, LOCK, REPLACED, MANIFEST + NEW)
"""Files of the build itself; the last one is what a process killed while writing the manifest leaves behind."""


@dataclass(frozen=True)
class Kept:
    """What a finished run of a stage keeps, for one that extends it.

    Attributes:
        folder: Travels with the artifact without being listed or digested: resume state, not result. None for none:
            a run of this stage is never extended.
        logs: Files and folders that the run has added to; one that extends it goes on with them.
    """

    folder: str | None = None
    logs: tuple[str, ...] = ()

    def is_in(self, root: Path) -> bool:
        """Whether there is anything to go on from."""
        return self.folder is not None and any((root / self.folder).glob("*"))

    def adds(self, partial: Path, finished: Path) -> bool:
        """Whether an unfinished run has anything to go on from that the finished one beside it has not."""
        if self.folder is None:
            return False
        there = {path.name for path in (finished / self.folder).glob("*")}
        return any(path.name not in there for path in (partial / self.folder).glob("*"))

    def take_over(self, finished: Path, partial: Path) -> None:
        """Take what a finished run has kept into a build that extends it."""
        assert self.folder is not None
        # Linked: weights and optimizer once more would cost minutes and as much disk; nobody writes into a checkpoint.
        shutil.copytree(finished / self.folder, partial / self.folder, copy_function=os.link, dirs_exist_ok=True)
        for log in (finished / name for name in self.logs if (finished / name).exists()):
            (shutil.copytree if log.is_dir() else shutil.copyfile)(log, partial / log.name)


def move_up(partial: Path, out: Path) -> None:
    """Replace what the old manifest lists by what is in `partial`, manifest last. Safe to repeat after a crash."""
    shutil.rmtree(partial / SCRATCH, ignore_errors=True)  # not before the manifest is there: it would be done again
    if (partial / REPLACED).exists():
        (out / MANIFEST).unlink(missing_ok=True)
        fsync(out)
        _remove_old(out, json.loads((partial / REPLACED).read_text(encoding="utf-8")))
        (partial / REPLACED).unlink()
    for entry in sorted(partial.iterdir()):
        if entry.name in (MANIFEST, RUN, LOCK):
            continue
        target = out / entry.name
        if target.is_dir():
            shutil.rmtree(target)
        entry.replace(target)
    fsync(out)
    (partial / RUN).unlink(missing_ok=True)  # killed before the last line, nothing here looks like work to go on with
    (partial / MANIFEST).replace(out / MANIFEST)
    fsync(out)
    shutil.rmtree(partial, ignore_errors=True)


def _remove_old(out: Path, manifest: Mapping[str, Any]) -> None:
    """Remove an artifact's files and the folders that are empty then; what else lies there stays."""
    paths = [out / output["path"] for output in manifest["outputs"]]
    for path in paths:
        if not path.is_dir():  # one in the place of a file is not the artifact's
            path.unlink(missing_ok=True)
    for folder in sorted({parent for path in paths for parent in path.parents if out in parent.parents}, reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    if manifest.get("kept"):
        shutil.rmtree(out / manifest["kept"], ignore_errors=True)
