"""Turn a finished `.partial/` into the artifact: old files out, new files up, `llmkit.json` last."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
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
UNLISTED = "checkpoints"
"""Folder that travels with an artifact without being listed or digested: resume state, not result."""
LOGS = ("metrics.jsonl", "samples.jsonl", "starts.jsonl", "tracker_id.txt", "tensorboard")
"""Files and folders a training has logged to; a run that extends it goes on with them."""
OWN = (RUN, LOCK, REPLACED, MANIFEST + NEW)
"""Files of the build itself; the last one is what a process killed while writing the manifest leaves behind."""


def move_up(partial: Path, out: Path) -> None:
    """Replace what the old manifest lists by what is in `partial`, manifest last. Safe to repeat after a crash."""
    shutil.rmtree(partial / SCRATCH, ignore_errors=True)  # not before the manifest is there: it would be done again
    if (partial / REPLACED).exists():
        (out / MANIFEST).unlink(missing_ok=True)
        fsync(out)
        _remove_outputs(out, json.loads((partial / REPLACED).read_text(encoding="utf-8"))["outputs"])
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


def _remove_outputs(out: Path, outputs: Sequence[dict[str, Any]]) -> None:
    """Remove an artifact's files and the folders that are empty then; what else lies there stays."""
    paths = [out / output["path"] for output in outputs]
    for path in paths:
        path.unlink(missing_ok=True)
    for folder in sorted({parent for path in paths for parent in path.parents if out in parent.parents}, reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    shutil.rmtree(out / UNLISTED, ignore_errors=True)
