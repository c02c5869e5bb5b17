"""Turn pydantic's validation errors into lines a person can act on: dotted path, value, nearest name, file and line."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from llmkit.core.errors import nearest
from llmkit.core.glossary import field_of, instead
from llmkit.core.yaml import Path as KeyPath

MAX_PROBLEMS = 10
_MISSING = "required, but not given"


def describe(
    error: ValidationError,
    model: type[BaseModel],
    origins: Mapping[KeyPath, str],
    flags: Mapping[KeyPath, str] | None = None,
) -> list[str]:
    """Return one line per problem; `flags` are the options that give a field, for those that are missing."""
    lines = _describe(error.errors(), model, (), origins, model)
    given_by = {f"{'.'.join(map(str, path))}: {_MISSING}": flag for path, flag in (flags or {}).items()}
    return [f"{line}; give it with {given_by[line]}" if line in given_by else line for line in lines][:MAX_PROBLEMS]


def places(errors: Sequence[Any], model: type[BaseModel], base: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the key path of every problem, those inside of parts included."""
    for problem in errors:
        path, _ = walk(model, problem["loc"])
        if problem["type"] == "family_fields":
            yield from places(problem["ctx"]["errors"], problem["ctx"]["part"], base + path)
        else:
            yield base + path


def _describe(
    errors: Sequence[Any],
    model: type[BaseModel],
    base: KeyPath,
    origins: Mapping[KeyPath, str],
    root: type[BaseModel],
) -> list[str]:
    grouped: dict[KeyPath, list[Any]] = {}
    lines: list[str] = []
    for problem in errors:
        path, _ = walk(model, problem["loc"])
        if problem["type"] == "family_fields":
            lines += _describe(problem["ctx"]["errors"], problem["ctx"]["part"], base + path, origins, root)
        else:
            if problem["type"] == "family_member" and isinstance(problem["input"], Mapping):
                path = (*path, "type")
            grouped.setdefault(path, []).append(problem)
    for path, problems in grouped.items():
        full = base + path
        text = _message(problems, model, path, full, root)
        dotted = ".".join(str(part) for part in full)
        where = _where(full, origins)
        lines.append((f"{dotted}: " if dotted else "") + text + (f" ({where})" if where else ""))
    return lines


def _message(
    problems: Sequence[Any], model: type[BaseModel], path: KeyPath, full: KeyPath, root: type[BaseModel]
) -> str:
    first = problems[0]
    if first["type"] == "extra_forbidden":
        _, owner = walk(model, path[:-1])
        return f"unknown field{_meant(full, list(_group(owner).model_fields), root)}"
    if first["type"] == "missing":
        return _MISSING
    if first["type"] in ("family_type", "family_member"):
        return str(first["msg"])
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    if first["type"] in ("too_short", "too_long", "string_too_short", "string_too_long"):
        _, _, limit = str(first["msg"]).partition(" should have ")
        return f"should have {limit.replace(' after validation', '')}"
    if first["type"] == "string_pattern_mismatch":
        return f"should match {first['ctx']['pattern']}, not {first['input']!r}"
    if not first["msg"].startswith("Input should be "):
        return str(first["msg"])  # a validator's own words
    wanted = list(dict.fromkeys(_wanted(problem) for problem in problems))
    value = first["input"]
    shown = repr(value) if len(repr(value)) <= 60 else f"a {type(value).__name__}"
    how = f"; a list is written [{value}]" if first["type"] == "list_type" and isinstance(value, str) else ""
    return f"should be {' or '.join(wanted)}, not {shown}{how}"


def _meant(path: KeyPath, own: Sequence[str], root: type[BaseModel]) -> str:
    """Say what an unknown field may be: what other tools call so, a near name beside it, or that of a field elsewhere.

    Args:
        path: The field's.
        own: The fields that there are beside it.
        root: The config.
    """
    from llmkit.core.fields import field_paths

    typed, group = str(path[-1]), "".join(f"{key}." for key in path[:-1])
    elsewhere = field_paths(root)
    if said := instead("term", typed, {*own, *elsewhere, *(f"--{name}" for name in own), "--output"}):
        if "'--output'" in said:
            return "; it is an option, not a field: --output"
        return said.replace(f"'{group}", "'").replace("'--", "'")
    near_it = nearest(typed, own)
    if "did you mean" not in near_it and (found := field_of(typed, elsewhere)):
        if found == f"{group}{typed}":
            return f"; it is one of another type of {path[-2]}"
        if found == typed:
            return f"; '{typed}' stands beside '{path[0]}', not in it"
        return f"; did you mean '{found}'?"
    return near_it


def _wanted(problem: Any) -> str:
    if problem["type"] == "model_type":
        return "a mapping of fields"
    return str(problem["msg"]).replace("Input should be ", "")


def _where(path: KeyPath, origins: Mapping[KeyPath, str]) -> str:
    if not path:
        return ""  # about the config as a whole
    for end in range(len(path), 0, -1):
        if path[:end] in origins:
            return origins[path[:end]]
    return next((origin for place, origin in origins.items() if place[: len(path)] == path), "")


def walk(annotation: Any, loc: Sequence[str | int]) -> tuple[KeyPath, Any]:
    """Follow a location through the annotations; return the real key path and the annotation it ends at.

    The path leaves out the tags of union branches that pydantic puts into a location.
    """
    path: list[str | int] = []
    place = annotation
    for position, key in enumerate(loc):
        found = _step(place, key)
        if found is _NOTHING:
            if position == len(loc) - 1 and _group(place) is not BaseModel:
                path.append(key)  # an unknown field: the last key names it
            continue
        path.append(key)
        place = found
    return tuple(path), place


_NOTHING = object()


def _group(annotation: Any) -> type[BaseModel]:
    """Return the model of a group of fields, also of one that may be null; else the empty base model."""
    for branch in (annotation, *get_args(annotation)):
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            return branch
    return BaseModel


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
