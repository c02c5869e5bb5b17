"""Describe what a stage reads: our own artifacts by id, raw files by the digest of their names and contents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmkit.core.adapter import base_of, is_adapter
from llmkit.core.digest import canonical_json, digest_files, digest_text
from llmkit.core.errors import DataError, nearest
from llmkit.core.found import hub_name, in_words, is_gguf, recognize, way
from llmkit.core.json import dumps
from llmkit.core.manifest import PARTIAL, Artifact, Input, open_artifact, read_manifest
from llmkit.core.own import Origin

PART = "part"
"""Role of a class of the user's own."""


@dataclass(frozen=True, slots=True)
class RawFile:
    """One raw input file.

    Attributes:
        path: Absolute path, for reading and for the lineage record.
        name: Path relative to its root, with forward slashes; ids and digests are made of it, so that they do not
            depend on where the input lies.
        num_bytes: Size on disk.
        digest: What the place it lies in says about its contents (an ETag, a dataset's revision), hashed; empty for a
            file on disk, whose contents are read.
    """

    path: str
    name: str
    num_bytes: int
    digest: str = ""


@dataclass
class Inputs:
    """The inputs of one run of a stage, and the list of all raw files among them.

    Attributes:
        entries: One entry per artifact or group of raw files.
        listing: JSON lines of the raw files, for `inputs.jsonl`.
    """

    entries: list[Input] = field(default_factory=list)
    listing: list[str] = field(default_factory=list)

    def add_artifact(self, path: str | Path, kinds: str | Sequence[str], *, role: str) -> Path:
        """Add a finished artifact and return its directory.

        Raises:
            DataError: It is missing, unfinished or of another kind.
        """
        artifact = open_artifact(path, kinds, role=role)
        self.entries.append(artifact.as_input(role))
        return artifact.path

    def add_files(self, root: str, files: Sequence[RawFile], *, role: str) -> None:
        """Add raw files."""
        read = iter(digest_files([file.path for file in files if not file.digest]))
        digests = [file.digest or next(read) for file in files]
        names = [(file.name, digest) for file, digest in zip(files, digests, strict=True)]
        self.entries.append(
            Input(
                role=role,
                path=root,
                kind="files",
                digest=digest_text(canonical_json(names))[:32],
                num_files=len(files),
                num_bytes=sum(file.num_bytes for file in files),
            )
        )
        for file, digest in zip(files, digests, strict=True):
            entry = {"source": root, "name": file.name, "path": file.path, "bytes": file.num_bytes, "digest": digest}
            if file.digest:  # not of bytes that anybody could read again
                entry["stated"] = True
            self.listing.append(dumps(entry))

    def add_part(self, origin: Origin) -> None:
        """Add a class of the user's own: the files that it is made of, as they were when they were imported."""
        path, identity = str(origin.path), canonical_json(origin.identity)
        size = sum(module.num_bytes for module in origin.modules)
        self.entries.append(Input(PART, path, "files", digest_text(identity)[:32], len(origin.modules), size))
        for module in origin.modules:
            facts = {"bytes": module.num_bytes, "digest": module.digest}
            self.listing.append(dumps({"source": path, "name": module.name, "path": str(module.path), **facts}))

    def add_directory(self, path: str | Path, kinds: str | Sequence[str], *, role: str) -> Path:
        """Add a directory that is one of our artifacts or, made elsewhere, a group of raw files; or a model in GGUF.

        Raises:
            DataError: There is no such directory, or it is an artifact of another kind.
        """
        directory = Path(path)
        artifact = check_directory(path, kinds, role=role)
        if is_adapter(directory) and artifact is None:
            self._add_base(base_of(directory), f"{role} base")  # made elsewhere: no manifest says what it was
        if artifact is not None:
            self.entries.append(artifact.as_input(role))
            return directory
        if directory.is_file():
            one = RawFile(str(directory.resolve()), directory.name, directory.stat().st_size)
            self.add_files(str(directory.resolve()), [one], role=role)
            return directory
        files = [
            RawFile(str(file.resolve()), file.relative_to(directory).as_posix(), file.stat().st_size)
            for file in sorted(directory.iterdir())
            if file.is_file()
        ]
        if not files:
            raise DataError(
                f"{role}: {directory} is empty", f"name another directory, or look what is in it: ls -la {directory}"
            )
        self.add_files(str(directory.resolve()), files, role=role)
        return directory

    def _add_base(self, base: Path, role: str) -> None:
        """Add the model that an adapter is nothing without: a file, or a directory."""
        files = [base] if base.is_file() else sorted(file for file in base.iterdir() if file.is_file())
        raw = [RawFile(str(file.resolve()), file.name, file.stat().st_size) for file in files]
        self.add_files(str(base.resolve()), raw, role=role)


def check_directory(path: str | Path, kinds: str | Sequence[str], *, role: str) -> Artifact | None:
    """Return the artifact in a directory; None where it was made elsewhere, as a model in GGUF is.

    Reads no more than the manifest.

    Raises:
        DataError: There is no such directory, or it is an artifact of another kind, or unfinished.
    """
    directory = Path(path)
    if "model" in kinds and is_gguf(directory):
        return None
    if "://" in str(path) and hub_name(path) is None:
        raise DataError(f"{role}: {path} is an address, and a directory is read here", "eval alone asks servers")
    if directory.is_dir() and read_manifest(directory) is None and not (directory / PARTIAL).is_dir():
        no_model = role in ("model", "baseline") and not (
            (directory / "config.json").is_file() or is_adapter(directory)
        )
        if no_model and (found := recognize(directory)) is not None:
            hint = way(found, kinds, directory, role)
            words = f"'{directory}' is not a model directory: it holds no config.json, but {in_words(found)}"
            raise DataError(f"{role}: {words}", hint)
        return None
    return open_artifact(path, kinds, role=role)


def missing_path(path: str | Path, *, role: str) -> DataError:
    """Return the error for a path that is not there, with the nearest name beside it."""
    place = Path(path)
    siblings: Iterable[str] = (entry.name for entry in place.parent.iterdir()) if place.parent.is_dir() else ()
    return DataError(f"{role}: no such file or directory: {path}{nearest(place.name, siblings)}")
