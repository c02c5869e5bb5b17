"""What a run has made that failed its check: kept beside the output directory for a look, and never an artifact."""

from __future__ import annotations

import json
import re
import shutil
from itertools import count
from pathlib import Path

from llmkit.core.manifest import MANIFEST
from llmkit.core.move import LOCK, RUN, SCRATCH

NAME = re.compile(r".+\.failed(-\d+)?")


def is_failed(folder: Path) -> bool:
    """Tell whether a folder is one that `keep_failed` has made: by its name, and by the file of the run in it."""
    if not NAME.fullmatch(folder.name) or folder.is_symlink() or (folder / MANIFEST).exists():
        return False
    try:
        return isinstance(json.loads((folder / RUN).read_bytes())["stage"], str)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def keep_failed(partial: Path, out: Path) -> Path:
    """Move what a run has made to `OUT.failed`, and return where it is.

    What an earlier run of that name has left there is replaced; anything else stays, and a number is added.

    Args:
        partial: Where it was made, with the file of the run.
        out: The run's output directory.
    """
    place = out.absolute()
    names = (place.with_name(f"{place.name}.failed{f'-{number}' if number > 1 else ''}") for number in count(1))
    folder = next(name for name in names if is_failed(name) or not (name.exists() or name.is_symlink()))
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    shutil.copyfile(partial / RUN, folder / RUN)  # first: killed in between, the folder is known for what it is
    for entry in sorted(partial.iterdir()):
        if entry.name not in (RUN, LOCK, SCRATCH, MANIFEST):
            shutil.move(entry, folder / entry.name)  # OUT may be another file system
    return folder
