"""What `lineage --verify` finds in one artifact: a manifest that contradicts itself, and files that are not its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmkit.core.digest import canonical_json, digest_file, digest_text
from llmkit.core.machine import raise_limit
from llmkit.core.manifest import MANIFEST, Manifest, artifact_id
from llmkit.core.seal import changed_files, is_whole

Version = Callable[[str], int | None]
"""Returns the behaviour version of a stage here; None for a stage that is not known."""


def audit(directory: Path, manifest: Manifest, version: Version) -> list[str]:
    """Return what is wrong with an artifact, in words; reads and hashes every file of it.

    The id is worked out anew from the digests that are listed, and these are compared with the files on the disk.
    """
    return [
        *_contradictions(manifest, version),
        *(
            problem
            for output in manifest.outputs
            if (problem := changed(directory / output.path, output.digest, output.path))
        ),
        *_changed_kept(directory, manifest),
    ]


def changed(path: Path, digest: str, shown: str) -> str | None:
    """Return what has become of a file, in words; None where it is what it was."""
    if not path.is_file():
        return f"{shown} is missing"
    try:
        return None if digest_file(path) == digest else f"{shown} has changed"
    except OSError as error:
        raise_limit(error)
        return f"{shown} cannot be read: {error.strerror}"


def _contradictions(manifest: Manifest, version: Version) -> list[str]:
    """Return where a manifest that can be read cannot be what a stage has written; reads no file."""
    found = []
    if not any(output.payload for output in manifest.outputs):
        found.append(f"{MANIFEST} lists no files: nothing says what it was made of")
    elif artifact_id(manifest.kind, manifest.outputs) != manifest.id:
        found.append(f"the id {manifest.id[:12]} is not that of the files that {MANIFEST} lists")
    known = version(manifest.stage)
    if known is not None and manifest.stage_version > known:
        found.append(f"made by version {manifest.stage_version} of {manifest.stage}, this llmkit has {known}")
    return found + _foreign_identity(manifest)


def _foreign_identity(manifest: Manifest) -> list[str]:
    """Compare the identity with what was asked for, and that with what else the manifest says."""
    asked: Any = manifest.config.get("fingerprint") if isinstance(manifest.config, dict) else None
    if not isinstance(asked, dict):
        return [f"{MANIFEST} does not say what was asked for"]
    found = []
    if digest_text(canonical_json(asked))[:32] != manifest.identity:
        found.append(f"the identity {manifest.identity[:12]} is not that of the config in {MANIFEST}")
    if (asked.get("stage"), asked.get("stage_version")) != (manifest.stage, manifest.stage_version):
        found.append(f"{MANIFEST} names another stage than the one that was asked")
    if asked.get("inputs") != [f"{item.role}:{item.digest}" for item in manifest.inputs]:
        found.append(f"{MANIFEST} lists other inputs than the ones that were asked for")
    return found


def _changed_kept(directory: Path, manifest: Manifest) -> list[str]:
    """Return which checkpoints are torn, or not what was written."""
    if not manifest.kept:
        return []
    found = []
    for folder in sorted(path for path in (directory / manifest.kept).glob("*") if path.is_dir()):
        if not is_whole(folder):
            found.append(f"{manifest.kept}/{folder.name} is incomplete")
        else:
            found += [f"{manifest.kept}/{folder.name}/{name} has changed" for name in changed_files(folder)]
    return found
