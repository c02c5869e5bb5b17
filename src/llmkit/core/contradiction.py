"""What a manifest says that no stage has written: only somebody who edited it has."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmkit.core.manifest import Manifest

_LONGEST_NAME, _LONGEST_PATH = 255, 4096  # of any file system here, in bytes


def newer(values: Any, known: int) -> str:
    """Say that a later version wrote it; empty if not."""
    schema = values.get("schema") if isinstance(values, dict) else None
    return f"its schema is {schema}, and {known} is known" if type(schema) is int and schema > known else ""


def contradiction(manifest: Manifest, known: int) -> str:
    """Say what no stage has written, though each field is of its type; empty if there is nothing."""
    fingerprint = manifest.config.get("fingerprint")
    written = isinstance(fingerprint, dict) and isinstance(fingerprint.get("config"), dict) and "stage" in fingerprint
    if manifest.schema != known:
        return f"schema: {manifest.schema}"
    if not (manifest.stage and manifest.kind):
        return "it names no stage or no kind"
    if manifest.outputs and not written:
        return "config: it has no fingerprint"
    if nowhere := [item.path for item in manifest.inputs if "\0" in item.path]:
        return f"inputs: {nowhere[0][:80]!r} is no path"
    # Files that an artifact lists are removed when it is replaced: they must be its own.
    inside = [output.path for output in manifest.outputs] + ([manifest.kept] if manifest.kept else [])
    if outside := [name for name in inside if not _stays_inside(name)]:
        return f"outputs: {outside[0][:80]!r} is no path inside the artifact"
    return ""


def _stays_inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    short = len(name) < _LONGEST_PATH and all(len(part.encode()) <= _LONGEST_NAME for part in parts)
    return bool(parts) and short and not name.startswith("/") and ".." not in parts and "\0" not in name
