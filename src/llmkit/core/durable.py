"""Write files so that a crash at any instant leaves the old one or the new one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from llmkit.core.json import dumps

NEW = ".new"
"""Suffix of a file that is being written."""


def write_json(path: Path, value: Any) -> None:
    """Write JSON under another name, fsync it and rename it: whoever finds the file finds all of it."""
    text = dumps(value, indent=2)
    new = path.with_name(path.name + NEW)
    with new.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def fsync(path: Path) -> None:
    """Wait until a file, or a directory's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
