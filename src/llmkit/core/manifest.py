"""The manifest `llmkit.json`: what an artifact is, what it was made from, by what, and when."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.core.contradiction import contradiction, newer
from llmkit.core.cores import num_cores
from llmkit.core.digest import canonical_json, digest_and_checksum, digest_text
from llmkit.core.durable import write_json
from llmkit.core.errors import DataError, nearest
from llmkit.core.found import hub_name, in_words, recognize, way
from llmkit.core.reading import MANIFEST_NAME, damaged, kind_of, reading

if TYPE_CHECKING:  # `--help` need not wait for pydantic
    from pydantic import ConfigDict, TypeAdapter

MANIFEST = MANIFEST_NAME
PARTIAL = ".partial"
SCHEMA_VERSION = 1
PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "evaluate", "numpy", "pyarrow", "pydantic")


_AS_WRITTEN: ConfigDict = {"strict": True, "extra": "forbid"}
"""A manifest is read as it was written: no other fields, no other types."""


@dataclass(frozen=True)
class Input:
    """One input of a stage.

    Attributes:
        role: What it is to the stage: `data`, `model`, `tokenizer`.
        path: Absolute path, for people and for `llmkit lineage`; never part of an identity.
        kind: An artifact kind, or `files` for raw files.
        digest: The artifact's id, or a digest over the names and contents of the raw files.
        num_files: Number of raw files; 0 for an artifact.
        num_bytes: Bytes of the raw files; 0 for an artifact.
    """

    role: str
    path: str
    kind: str
    digest: str
    num_files: int = 0
    num_bytes: int = 0

    __pydantic_config__: ClassVar[ConfigDict] = _AS_WRITTEN


@dataclass(frozen=True)
class Output:
    """One file of an artifact; `payload` files make up its id, the others (reports, cards, timings) do not.

    `checksum` finds damage at the speed of reading, see `core/digest.py`; empty in artifacts older than it.
    """

    path: str
    bytes: int
    digest: str
    payload: bool
    checksum: str = ""

    __pydantic_config__: ClassVar[ConfigDict] = _AS_WRITTEN


@dataclass
class Manifest:
    """Contents of `llmkit.json`.

    `kept` is a folder that travels with the artifact, neither listed nor digested; empty for none.
    """

    stage: str
    stage_version: int
    kind: str
    id: str
    identity: str
    config: dict[str, Any]
    inputs: list[Input]
    outputs: list[Output]
    metrics: dict[str, Any]
    seed: int | None
    versions: dict[str, str]
    git: dict[str, Any] | None
    host: dict[str, Any]
    started: str
    duration_s: float
    schema: int = SCHEMA_VERSION
    details: dict[str, Any] = field(default_factory=dict)
    kept: str = ""

    __pydantic_config__: ClassVar[ConfigDict] = _AS_WRITTEN

    def metric(self, name: str) -> int:
        """Return a count among the metrics.

        Raises:
            DataError: There is none: the file was edited.
        """
        value = self.metrics.get(name)
        if type(value) is not int:
            what = f"the {MANIFEST} of {article(self.kind)}"
            raise DataError(f"{what} is not as {self.stage} wrote it: metrics.{name} is {value!r}")
        return value

    def write(self, path: Path) -> None:
        """Write and fsync the file."""
        write_json(path, asdict(self))


@dataclass(frozen=True)
class Artifact:
    """A finished artifact on disk."""

    path: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        """The artifact's id."""
        return self.manifest.id

    @property
    def kind(self) -> str:
        """The artifact's kind."""
        return self.manifest.kind

    def as_input(self, role: str) -> Input:
        """Describe this artifact as the input of another stage."""
        return Input(role=role, path=str(self.path.resolve()), kind=self.kind, digest=self.id)

    def missing_outputs(self) -> list[str]:
        """Names of output files that are gone or have another size; reads no contents."""
        return [
            output.path
            for output in self.manifest.outputs
            if not (self.path / output.path).is_file() or (self.path / output.path).stat().st_size != output.bytes
        ]


def read_manifest(directory: Path) -> Manifest | None:
    """Return the manifest of a directory, or None where there is none.

    Raises:
        DataError: The file is there but cannot be read as a manifest.
    """
    path = directory / MANIFEST
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        raise damaged(path, "it is a directory") from None
    with reading(path):
        values = json.loads(text)
    if problem := newer(values, SCHEMA_VERSION):
        raise _no_manifest(path, problem, "install the version of llmkit that wrote it, or a newer one")
    from pydantic import ValidationError

    try:
        manifest = _parser().validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or kind_of(values)
        raise _no_manifest(path, f"{where}: {first['msg']}") from None
    if problem := contradiction(manifest, SCHEMA_VERSION):
        raise _no_manifest(path, problem)
    return manifest


def _no_manifest(path: Path, problem: str, hint: str | None = None) -> DataError:
    return DataError(f"{path}: not a manifest of this version of llmkit ({problem})", hint or damaged(path, "").hint)


@cache
def _parser() -> TypeAdapter[Manifest]:
    from pydantic import TypeAdapter

    return TypeAdapter(Manifest)


def open_artifact(path: str | Path, kinds: str | Sequence[str], *, role: str) -> Artifact:
    """Open a finished artifact of one of the given kinds.

    Args:
        path: The artifact's directory.
        kinds: Kinds the caller can read.
        role: The config field that names it, for errors.

    Raises:
        DataError: Missing, unfinished, not an artifact, or of another kind; the message says which.
    """
    directory = Path(path)
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not directory.exists():
        parent = directory.parent
        siblings = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
        close = nearest(directory.name, siblings)
        close = close if "did you mean" in close else ""
        name = None if close else hub_name(path)
        there = next(place for place in directory.absolute().parents if place.is_dir())
        hint = way("hub", kinds, name, role) if name else None
        raise DataError(f"{role}: no such directory: {directory}{close}", hint or f"ls {_shown(there)}")
    manifest = read_manifest(directory)
    if manifest is None:
        raise no_artifact(directory, f"{role}: ", kinds=kinds, role=role)
    if manifest.kind not in kinds:
        wanted = " or ".join(map(article, kinds))
        hint = way(manifest.kind, kinds, directory, role)
        raise DataError(f"{role}: {directory} holds {article(manifest.kind)}, not {wanted}", hint)
    artifact = Artifact(directory, manifest)
    if gone := artifact.missing_outputs():
        raise DataError(
            f"{role}: {directory} is damaged: {gone[0]} is missing or has another size",
            hint=f"llmkit lineage {directory} --verify",
        )
    return artifact


def _shown(folder: Path) -> str:
    """Return a folder as a shell reads it, relative to the current one where it lies below."""
    here = Path.cwd()
    return shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder))


def no_artifact(directory: Path, at: str = "", *, kinds: Sequence[str] = (), role: str = "") -> DataError:
    """Return the error for a path without a manifest: an artifact that is still to be finished, or none at all.

    Args:
        directory: The path.
        at: What the message begins with.
        kinds: The kinds of artifacts that are wanted, if it is known.
        role: The config field that names it.
    """
    if (directory / PARTIAL).is_dir():
        return DataError(f"{at}{directory} is unfinished", hint="run the command that writes it again: it goes on")
    found = recognize(directory) if kinds else None
    holds = f": it holds {in_words(found)}" if found else ""
    hint = way(found, kinds, directory, role) if found else None
    return DataError(f"{at}{directory} is not an llmkit artifact (it has no {MANIFEST}){holds}", hint)


def article(kind: str) -> str:
    """Return an artifact kind as it reads in a sentence: `a corpus`, `tokens`."""
    if kind in ("tokens", "examples", "predictions"):
        return kind
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def artifact_id(kind: str, outputs: Iterable[Output]) -> str:
    """Hash the payload files: equal payloads have equal ids, wherever and whenever they were made."""
    lines = sorted((output.path, output.digest) for output in outputs if output.payload)
    return digest_text(canonical_json([kind, lines]))[:32]


def describe_output(root: Path, path: Path, *, payload: bool) -> Output:
    """Digest one file of an artifact under construction."""
    digest, checksum = digest_and_checksum(path)
    return Output(path.relative_to(root).as_posix(), path.stat().st_size, digest, payload, checksum)


def versions() -> dict[str, str]:
    """Installed versions of what decides results, without importing any of it."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    """Read once: 25 ms, and what this process has imported stays what it is."""
    found = {"python": platform.python_version()}
    for name in ("llmkit", *PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any] | None:
    """Commit of the project in the current directory and whether it has uncommitted changes; None outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def host_facts() -> dict[str, Any]:
    """The machine, as far as it explains a number."""
    return {"platform": platform.platform(), "machine": platform.machine(), "cpus": num_cores()}
