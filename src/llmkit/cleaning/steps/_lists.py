"""What steps are given to look for: regular expressions, and list files of one entry a line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from llmkit.core.errors import DataError
from llmkit.core.inputs import missing_path


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{pattern}' is no regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
"""A regular expression, checked when the recipe is read."""


def find_list(path: str, *, role: str) -> Path:
    """Return a list file's path.

    Args:
        path: The file.
        role: What the recipe calls it, for errors.

    Raises:
        DataError: There is no such file.
    """
    file = Path(path)
    if file.is_dir():
        raise DataError(f"{role}: {path} is a directory, not a file", hint=f"ls {path}")
    if not file.exists():
        raise missing_path(path, role=role)
    return file


def read_list(path: str, *, role: str) -> list[str]:
    """Return the entries of a list file (UTF-8), without blank lines and the spaces around them.

    Args:
        path: The file.
        role: What the recipe calls it, for errors.

    Raises:
        DataError: There is no such file, or it is not UTF-8.
    """
    file = find_list(path, role=role)
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{role}: {path} is not UTF-8 (byte {error.start})", hint=f"file {path}") from None
    return [entry for entry in map(str.strip, lines) if entry]
