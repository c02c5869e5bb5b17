"""Turn pydantic's validation errors into lines a person can act on: dotted path, value, nearest name, file and line."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from llmkit.core.errors import nearest
from llmkit.core.yaml import Path as KeyPath

MAX_PROBLEMS = 10


def describe(error: ValidationError, model: type[BaseModel], origins: Mapping[KeyPath, str]) -> list[str]:
    """Return one line per problem."""
    return _describe(error.errors(), model, (), origins)[:MAX_PROBLEMS]


def normalize(model: Any, loc: Sequence[str | int]) -> KeyPath:
    """Drop the union branch tags that pydantic puts into a location, keeping field names and list positions."""
    path, _ = _walk(model, loc)
    return path


def _describe(
    errors: Sequence[Any], model: type[BaseModel], base: KeyPath, origins: Mapping[KeyPath, str]
) -> list[str]:
    grouped: dict[KeyPath, list[Any]] = {}
    lines: list[str] = []
    for problem in errors:
        path, _ = _walk(model, problem["loc"])
        if problem["type"] == "family_fields":
            lines += _describe(problem["ctx"]["errors"], problem["ctx"]["part"], base + path, origins)
        else:
            grouped.setdefault(path, []).append(problem)
    for path, problems in grouped.items():
        text = _message(problems, model, path)
        full = base + path
        dotted = ".".join(str(part) for part in full)
        where = _where(full, origins)
        lines.append((f"{dotted}: " if dotted else "") + text + (f" ({where})" if where else ""))
    return lines


def _message(problems: Sequence[Any], model: type[BaseModel], path: KeyPath) -> str:
    first = problems[0]
    if first["type"] == "extra_forbidden":
        _, owner = _walk(model, path[:-1])
        valid = owner.model_fields if isinstance(owner, type) and issubclass(owner, BaseModel) else {}
        return f"unknown field{nearest(str(path[-1]), valid)}"
    if first["type"] == "missing":
        return "required, but not given"
    if first["type"] in ("family_type", "family_member"):
        return str(first["msg"])
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    if not first["msg"].startswith("Input should be "):
        return str(first["msg"])  # a validator's own words
    wanted = list(dict.fromkeys(p["msg"].replace("Input should be ", "") for p in problems if p["type"] != "none"))
    value = first["input"]
    shown = repr(value) if len(repr(value)) <= 60 else f"a {type(value).__name__}"
    return f"should be {' or '.join(wanted)}, not {shown}"


def _where(path: KeyPath, origins: Mapping[KeyPath, str]) -> str:
    for end in range(len(path), 0, -1):
        if path[:end] in origins:
            return origins[path[:end]]
    return next((origin for place, origin in origins.items() if place[: len(path)] == path), "")


def _walk(annotation: Any, loc: Sequence[str | int]) -> tuple[KeyPath, Any]:
    """Follow a location through the annotations; return the real key path and the annotation it ends at."""
    path: list[str | int] = []
    place = annotation
    for key in loc:
        found = _step(place, key)
        if found is _NOTHING:
            if key is loc[-1] and isinstance(place, type) and issubclass(place, BaseModel):
                path.append(key)  # an unknown field: the last key names it
            continue
        path.append(key)
        place = found
    return tuple(path), place


_NOTHING = object()


def _step(annotation: Any, key: str | int) -> Any:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _step(get_args(annotation)[0], key)
    if origin in (Union, types.UnionType):
        results = [_step(branch, key) for branch in get_args(annotation)]
        return next((found for found in results if found is not _NOTHING), _NOTHING)
    if origin in (list, tuple, Sequence) and isinstance(key, int):
        return get_args(annotation)[0]
    if origin is dict and isinstance(key, str):
        return get_args(annotation)[1]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and key in annotation.model_fields:
        return annotation.model_fields[str(key)].annotation
    return _NOTHING
