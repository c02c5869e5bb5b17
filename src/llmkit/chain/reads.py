"""What a stage's config reads: the paths in it, and the kinds of artifacts that can stand there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmkit.chain.runs import ABSENT, MODELS, Read
from llmkit.core.errors import DataError, UserError
from llmkit.core.hub import located
from llmkit.core.inputs import Inputs
from llmkit.data.sources import Source
from llmkit.data.sources._remote import is_url
from llmkit.data.sources.files import Files

KINDS = {
    ("clean", "inputs"): ("corpus", "examples"),
    ("generate", "inputs"): ("corpus", "examples"),
    ("index", "inputs"): ("corpus", "examples"),
    ("tokenize", "inputs"): ("corpus",),
    ("pretrain", "data"): ("tokens",),
    ("finetune", "validation_data"): ("examples",),
    ("export", "model"): ("model",),
    ("eval", "baseline"): (*MODELS, "eval"),
}
"""Of (stage, field), where it is not any kind of model or, of data, any kind or what the config says itself."""
DATA, MODEL_FIELDS = ("inputs", "data", "validation_data"), ("model", "baseline", "init_from")


def reads_of(stage: str, config: Any) -> list[Read]:
    """Return what a config reads, in the order of its fields."""
    found: list[Read] = []
    for name in type(config).model_fields:
        value = getattr(config, name)
        if name in DATA and isinstance(value, list):
            kinds = KINDS.get((stage, name), getattr(config, "data_kinds", ()))
            found += [read for i, item in enumerate(value) for read in _data(f"{name}.{i}", item, kinds)]
        elif name in MODEL_FIELDS:
            if stage in ("finetune", "eval", "generate", "index") and isinstance(value, str):
                with contextlib.suppress(DataError):  # what is not there is told of by who looks for it
                    value = located(value)
            found += _model(name, value, KINDS.get((stage, name), MODELS))
        elif name == "tokenizer" and isinstance(path := getattr(value, "path", None), str):
            found.append(Read(f"{name}.path", path, ("tokens", *MODELS), value))
        elif name == "runtime" and isinstance(path := getattr(value, "tokenizer", None), str):
            found.append(Read(f"{name}.tokenizer", path, ("tokens", *MODELS)))
        elif name == "tasks":
            found += [read for i, task in enumerate(value) for read in _task(f"{name}.{i}.data", task)]
    return found


def _data(field: str, item: Any, kinds: tuple[str, ...]) -> Iterator[Read]:
    if isinstance(item, Source):  # of the other sources nothing is on a path here
        if isinstance(item, Files) and not is_url(item.path):
            yield Read(field, item.path, kinds, item)
    elif isinstance(path := item if isinstance(item, str) else getattr(item, "path", None), str):
        yield Read(field, path, kinds)


def _model(field: str, value: Any, kinds: tuple[str, ...]) -> Iterator[Read]:
    if isinstance(value, str):
        if not is_url(value):  # a model behind an address is asked when it is needed
            yield Read(field, value, kinds)
    elif isinstance(path := getattr(value, "path", None), str):
        yield Read(f"{field}.path", path, kinds)


def _task(field: str, task: Any) -> Iterator[Read]:
    """Ask a task what it reads, as the stage does."""
    if isinstance(data := getattr(task, "data", None), Source):
        yield from _data(field, data, getattr(task, "artifacts", ()))
        return
    asked = _Asked()
    try:
        task.add_input(asked)
    except UserError:  # it looks at the data itself, which may not be there yet
        asked.found.clear()
    for path, kinds in asked.found or [(getattr(task, "data", ABSENT), ())]:
        yield Read(field, path, kinds)


class _Asked(Inputs):
    """Inputs that are only named."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def add_artifact(self, path: str | Path, kinds: str | Sequence[str], *, role: str) -> Path:  # noqa: ARG002
        """Note what is asked for."""
        self.found.append((str(path), (kinds,) if isinstance(kinds, str) else tuple(kinds)))
        return Path(path)

    def add_directory(self, path: str | Path, kinds: str | Sequence[str], *, role: str) -> Path:
        """Note what is asked for."""
        return self.add_artifact(path, kinds, role=role)

    def add_files(self, root: str, files: Sequence[Any], *, role: str) -> None:
        """Take them: they are there, or the task has said that they are not."""
