"""Finished evaluations as others measure themselves by them: what was asked of a model, what came out, and the samples.

A task is built again from what the artifact says of it, so that its scores can be computed of any part of the samples.
A class of the user's own is not: no file is imported that nobody has named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from llmkit.core.config import leaves
from llmkit.core.errors import DataError, UserError
from llmkit.core.manifest import Manifest, open_artifact
from llmkit.core.reading import reading
from llmkit.core.registry import Family
from llmkit.data.artifacts import Scores

HOW = ("runtime", "date")
"""Fields of an evaluation that are no task's, and move scores."""
OWN_KEYS = ("scores", "estimates", "num_samples", "notes", "overlap")
"""Of a result in `results.json`, beside the facts of its task."""


@dataclass
class TaskRun:
    """One task of an evaluation, of one model.

    Attributes:
        name: What it is called.
        spec: The task's settings, without paths.
        data: Digests of its data.
        result: What `results.json` says of the model: scores, estimates, number of samples, facts, notes.
        written: Its settings as the config had them, with paths.
    """

    name: str
    spec: Mapping[str, Any]
    data: Sequence[str]
    result: Mapping[str, Any]
    scores: Scores
    role: str = "model"
    written: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """The model's samples, as the file has them."""
        found = self.scores.samples(self.name)
        return [
            {name: value for name, value in sample.items() if name not in ("model", "overlap")}
            for sample in found
            if sample["model"] == self.role
        ]

    def unlike(self, spec: Mapping[str, Any], data: Sequence[str], mine: str = "there", other: str = "here") -> str:
        """Say in what the task is another than one of these settings and data; "" where it is the same."""
        if apart := _told(self.spec, spec, mine, other):
            return apart
        return "" if list(self.data) == list(data) else "it was measured on other data"

    def asks_otherwise(self, other: TaskRun) -> bool:
        """Tell whether another task differs in how it asks alone: on the same data, by the same definition of scores.

        Examples from data of their own come behind the data of the task, and are part of how it asks.
        """
        apart = {name.partition(".")[0] for name in _apart(_flat(self.spec), _flat(other.spec))}
        try:
            asking = self.task().asking
        except LookupError:
            return False
        shared = min(len(self.data), len(other.data)) if "shots_data" in apart else None
        same = bool(self.data) and list(self.data[:shared]) == list(other.data[:shared])
        return bool(apart) and apart <= asking and same

    def task(self) -> Any:
        """Return the task itself.

        Raises:
            LookupError: It is not to be had; in words.
        """
        kind = self.spec.get("type")
        try:
            return Family("task").parse(_merged(dict(self.spec), dict(self.written)))
        except (PydanticCustomError, ValidationError, UserError) as error:
            if isinstance(kind, Mapping):
                said = (
                    f"'{kind.get('name')}' is somebody's own: name its file, --own path/to/file.py:{kind.get('name')}"
                )
                raise LookupError(said) from error  # noqa: TRY004 - as for any other task
            raise LookupError(f"{kind} cannot be built from its settings: {error}") from error


@dataclass
class EvalRun:
    """A finished evaluation.

    Attributes:
        path: Its directory, as it was written.
        manifest: Its manifest.
        tasks: What was measured of the model, by name.
        baseline: The same of its own baseline, where it has one.
    """

    path: Path
    manifest: Manifest
    tasks: dict[str, TaskRun]
    baseline: dict[str, TaskRun]

    @property
    def model(self) -> str:
        """Where the model was that it measured."""
        return str(self.manifest.config["written"].get("model", ""))

    def run_otherwise(self, config: Mapping[str, Any], mine: str = "there", other: str = "here") -> str:
        """Say how its model was run otherwise than by a config's identity, such as in bf16; "" where it was not.

        What changes no number, such as where things lie or how many requests are on their way, is in no identity.
        """
        before = self.manifest.config["fingerprint"]["config"]
        old, new = ({name: each.get(name) for name in HOW} for each in (before, config))
        return _told(old, new, mine, other)


def open_run(path: str | Path, version: int, *, role: str) -> EvalRun:
    """Open a finished evaluation.

    Args:
        path: Its directory.
        version: Of the stage, as it is here.
        role: What it is called in errors.

    Raises:
        DataError: It is none, or of another version, whose scores may have been defined otherwise.
    """
    try:
        artifact = open_artifact(path, Scores.KIND, role=role)
    except DataError as error:
        makes = "llmkit eval --model DIR --task NAME -o {} makes one"
        hint = error.hint or makes.format("DIR") if Path(path).exists() else makes.format(path)
        raise DataError(error.message, hint) from error
    manifest, scores = artifact.manifest, Scores(artifact.path)
    if manifest.stage_version != version:
        raise DataError(
            f"{role}: {path} was made by version {manifest.stage_version} of eval, and this is version {version}: its"
            " scores may be defined otherwise",
            "run the command that made it again, with --force",
        )
    with reading(artifact.path / Scores.RESULTS):
        tasks = scores.results()["tasks"]
    written = manifest.config["written"].get("tasks") or []
    settings = dict(zip(tasks, written if len(written) == len(tasks) else [{}] * len(tasks), strict=True))

    def of(role: str) -> dict[str, TaskRun]:
        return {
            name: TaskRun(name, found["task"], found["data"], found["results"][role], scores, role, settings[name])
            for name, found in tasks.items()
            if role in found["results"]
        }

    return EvalRun(artifact.path, manifest, of("model"), of("baseline"))


def is_run(path: str | Path) -> bool:
    """Tell whether a path is an evaluation, finished or not, and no model."""
    from llmkit.core.manifest import read_manifest

    place = Path(path)
    manifest = read_manifest(place) if place.is_dir() else None
    return manifest is not None and manifest.kind == Scores.KIND


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each of some directories: as many of its last parts as tell it from the others."""
    parts = [path.absolute().parts for path in paths]
    names = []
    for own in parts:
        size = next((n for n in range(1, len(own)) if sum(other[-n:] == own[-n:] for other in parts) == 1), len(own))
        names.append("/".join(own[-size:]).replace("//", "/"))
    return names


_NONE = object()


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by their dotted names; what a task is called makes it no other one."""
    return {".".join(map(str, path)): value for path, value in leaves(spec) if path != ("name",)}


def _apart(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in sorted({*old, *new}) if old.get(name, _NONE) != new.get(name, _NONE)]


def _told(before: Mapping[str, Any], now: Mapping[str, Any], mine: str, other: str) -> str:
    """Say in which settings two differ, the first three of them; "" of none."""
    old, new = _flat(before), _flat(now)
    names = _apart(old, new)
    lines = [
        f"{name}: {_said(old.get(name, _NONE))} {mine}, {_said(new.get(name, _NONE))} {other}" for name in names[:3]
    ]
    return "; ".join(lines) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")


def _said(value: Any) -> str:
    return "none" if value is _NONE else "null" if value is None else str(value)


def _merged(spec: Any, written: Any) -> Any:
    """Return settings with what they leave out, such as paths, from those that were written; of types, their own."""
    if isinstance(spec, dict) and isinstance(written, Mapping):
        both = {name: _merged(value, written.get(name)) for name, value in spec.items()}
        return {**cast("dict[str, Any]", written), **both} if spec.keys() <= written.keys() else both
    if isinstance(spec, list) and isinstance(written, list) and len(spec) == len(written):
        return [_merged(one, other) for one, other in zip(spec, written, strict=True)]
    return spec
