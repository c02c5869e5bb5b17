"""Read the files of artifacts: whatever is wrong with one becomes words that name it and say what to type next."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmkit.core.errors import DataError, UserError
from llmkit.core.machine import raise_limit

MANIFEST_NAME = "llmkit.json"
_OF_THE_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EIO, errno.ELOOP, errno.ENAMETOOLONG)
"""What the system says of a file that is not as it was; all else, such as a full disk, is of the machine."""


@contextmanager
def reading(path: Path, hint: str | None = None) -> Iterator[None]:
    """Turn what a library raises while it reads a file into words.

    Args:
        path: The file, in an artifact or in a directory from elsewhere.
        hint: What to type next; by default what makes the file of an artifact anew.

    Raises:
        DataError: The file is missing, damaged or edited.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except OSError as error:
        # Arrow raises OSErrors without a number for bytes that are no Parquet, Arrow or LZ4.
        raise_limit(error)
        if error.errno is not None and error.errno not in _OF_THE_FILE:
            raise
        raise damaged(path, error.strerror or _words(error), hint) from error
    except Exception as error:
        # Any exception: each library has its own for damaged bytes, and values of another type fail wherever they go.
        raise_limit(error)
        raise damaged(path, _words(error), hint) from error


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """Read a file that holds one JSON object with some keys.

    Raises:
        DataError: It is missing, is no JSON, no object, or lacks a key.
    """
    with reading(path):
        values = json.loads(path.read_bytes())
        if not isinstance(values, dict):
            raise TypeError(f"a JSON object was expected, not {kind_of(values)}")
        for key in keys:
            if key not in values:
                raise ValueError(f"it lacks {key!r}")
    return values


def damaged(path: Path, problem: str, hint: str | None = None) -> DataError:
    """Return the error for a file that is not what it should be."""
    return DataError(f"{path} cannot be read: {problem}", hint or _made_by(path))


def kind_of(value: Any) -> str:
    """Return what JSON calls a value: `a list`, `null`."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number"}
    return "null" if value is None else names.get(type(value), "a number")


def _made_by(path: Path) -> str:
    """Say how a file of an artifact is made again: a stage makes what a finished artifact has lost."""
    for folder in path.parents:
        if not (folder / MANIFEST_NAME).is_file():
            continue
        try:
            stage = json.loads((folder / MANIFEST_NAME).read_bytes())["stage"]
            command = f"llmkit {stage}" if isinstance(stage, str) else "llmkit"
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            command = "llmkit"
        moved = folder if path.name == MANIFEST_NAME else path
        return f"mv {moved} {moved}.damaged, and run the command that made it again: {command} ... -o {folder}"
    return f"ls -l {path}"


def _words(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(str(error).split())[:300] or type(error).__name__
