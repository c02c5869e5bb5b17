"""Find what a disk has lost of an artifact: same names, same sizes, other bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from llmkit.core.digest import checksums, digest_file
from llmkit.core.errors import DataError
from llmkit.core.manifest import Artifact, Input, read_manifest

_WORTH_A_WORD = 2 << 30
"""Bytes from which on reading them takes seconds."""


def changed_payload(artifact: Artifact, pattern: str = "*") -> list[str]:
    """Return the payload files whose contents are no longer what was written; reads all whose names fit."""
    files = [output for output in artifact.manifest.outputs if output.payload and fnmatchcase(output.path, pattern)]
    summed = [output for output in files if output.checksum]
    sums = checksums([artifact.path / output.path for output in summed])
    changed = [output.path for output, now in zip(summed, sums, strict=True) if now != output.checksum]
    older = [output for output in files if not output.checksum]  # the digest says the same, but slower
    return changed + [output.path for output in older if digest_file(artifact.path / output.path) != output.digest]


def check_inputs(inputs: Iterable[Input], say: Callable[[str], None]) -> None:
    """Make sure that the artifacts a run reads are what their stages wrote: 0.2 s per GB on two cores.

    Raises:
        DataError: One is damaged.
    """
    roles = {item.path: item.role for item in inputs if item.kind != "files"}
    manifests = {path: read_manifest(Path(path)) for path in roles}
    artifacts = [Artifact(Path(path), found) for path, found in manifests.items() if found is not None]
    num_bytes = sum(output.bytes for found in artifacts for output in found.manifest.outputs if output.payload)
    if num_bytes > _WORTH_A_WORD:
        say(f"checking {num_bytes / 1e9:.1f} GB of inputs for damage")
    for artifact in artifacts:
        if changed := changed_payload(artifact):
            raise _damaged(artifact, roles[str(artifact.path)], changed)


def check_part(artifact: Artifact, role: str, pattern: str) -> None:
    """Make sure that some files of an artifact are what was written, before they are used; costs as `check_inputs`.

    Raises:
        DataError: One is damaged.
    """
    if changed := changed_payload(artifact, pattern):
        raise _damaged(artifact, role, changed)


def _damaged(artifact: Artifact, role: str, changed: Sequence[str]) -> DataError:
    path = artifact.path
    return DataError(
        f"{role}: {path} is damaged: {changed[0]} is not what was written"
        + (f", nor are {len(changed) - 1} more files" if len(changed) > 1 else ""),
        hint=f"restore it from a copy, or delete {path / changed[0]} and run the command that made {path}"
        f" again; llmkit lineage {path} --verify lists all that has changed",
    )
