"""The fields of a config as rows of plain text, and the families of parts that its fields take."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from llmkit.core.json import dumps
from llmkit.core.registry import Family

REQUIRED = "required"
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
NAMES: dict[Any, str] = {type(None): "null", list: "list", dict: "mapping", Any: "any", Path: "path"}


@dataclass(frozen=True)
class FieldRow:
    """One field.

    Attributes:
        path: Dotted path; `N` is a position in a list, `KEY` a key of a mapping.
        type: In the words of a recipe: `int >= 1`, `"a" | "b"`, `list of source`, `group`.
        default: As a recipe would write it, or `required`; empty for a group, whose fields have rows of their own.
        description: One line.
        family: The family whose members the field takes; they are no rows here, see `families_met`.
    """

    path: str
    type: str
    default: str
    description: str
    family: Family | None = None


def field_rows(model: type[BaseModel]) -> list[FieldRow]:
    """Return a row per field of a config or part, and of the groups inside it, depth first."""
    return list(_rows(model, "", None))


@cache
def field_paths(model: type[BaseModel]) -> frozenset[str]:
    """Return the dotted paths that a recipe can set outside of lists and mappings, and those of the parts' fields."""
    found = set()
    for row in field_rows(model):
        if not {"N", "KEY"} & {*row.path.split(".")}:
            found.add(row.path)
            if row.family is not None and not row.type.startswith("list"):
                members = [row.family.load(member) for member in row.family.members()]
                found |= {f"{row.path}.{name}" for member in members for name in ("type", *member.model_fields)}
    return frozenset(found)


def family_of(field: FieldInfo) -> Family | None:
    """Return the family whose members a field holds, itself or in a list."""
    annotation = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return next((part for _, part in _parts_inside(annotation) if isinstance(part, Family)), None)


def families_met(models: Iterable[type[BaseModel]]) -> list[Family]:
    """Return the families of the models' fields and, since a task holds metrics, of their members' fields, by name."""
    found: dict[str, Family] = {}
    todo = list(models)
    while todo:
        for row in field_rows(todo.pop()):
            for family in row.family.families() if row.family is not None else ():
                if family.name not in found:
                    found[family.name] = family
                    todo += [family.load(member) for member in family.members()]
    return [found[name] for name in sorted(found)]


def summary(model: type[BaseModel]) -> str:
    """Return a class's own docstring."""
    return inspect.cleandoc(model.__dict__.get("__doc__") or "")


def _rows(model: type[BaseModel], prefix: str, instance: BaseModel | None) -> Iterator[FieldRow]:
    """Yield the rows; `instance` is the default of a whole group, whose values win over the fields' own defaults."""
    for name, field in model.model_fields.items():
        annotation = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        default = getattr(instance, name) if instance is not None else _own_default(field)
        inside = list(_parts_inside(annotation))
        family = family_of(field)
        groups = [(suffix, part) for suffix, part in inside if not isinstance(part, Family)]
        is_group = isinstance(default, BaseModel) and any(not suffix for suffix, _ in groups)
        text = "" if is_group else _default_text(field, default)
        description = " ".join((field.description or "").split())
        yield FieldRow(f"{prefix}{name}", type_name(annotation), text, description, family)
        for suffix, group in groups:
            if group is not model:
                yield from _rows(group, f"{prefix}{name}{suffix}.", default if isinstance(default, group) else None)


def _own_default(field: FieldInfo) -> Any:
    """Return a field's default, `...` where it has none."""
    if field.is_required() or field.default_factory_takes_validated_data:
        return ...
    return field.get_default(call_default_factory=True)


def _default_text(field: FieldInfo, default: Any) -> str:
    if default is ...:
        return REQUIRED if field.is_required() else "computed"
    return dumps(_plain(default))


def _plain(value: Any) -> Any:
    """Turn a value into what a recipe writes; of a part, its name and what differs from its own defaults."""
    if isinstance(value, BaseModel):
        values = {name: _plain(getattr(value, name)) for name in value.model_dump(exclude_defaults=True)}
        name = getattr(value, "type_name", None)
        return ({"type": name, **values} if values else name) if name else values
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return to_jsonable_python(value)


def _parts_inside(annotation: Any) -> Iterator[tuple[str, Any]]:
    """Yield (path suffix, model class or Family) for what an annotation holds: `list[Data]` gives (".N", Data)."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        family = _family(arguments)
        yield from [("", family)] if family else _parts_inside(arguments[0])
    elif origin in (Union, types.UnionType):
        for branch in arguments:
            yield from _parts_inside(branch)
    elif origin in (list, tuple, Sequence):
        yield from ((f".N{suffix}", part) for suffix, part in _parts_inside(arguments[0]))
    elif origin in (dict, Mapping):
        yield from ((f".KEY{suffix}", part) for suffix, part in _parts_inside(arguments[1]))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation


def type_name(annotation: Any, bounds: str = "") -> str:
    """Return a type in the words of a recipe; `bounds` are those of the numbers in it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        family = _family(arguments)
        if family:
            names = (part.name for part in family.families())
            return " | ".join([*names, *("null" if word is None else dumps(word) for word in family.also)])
        return type_name(arguments[0], bounds + _bounds(arguments[1:]))
    if origin is Literal:
        return " | ".join(dumps(item) for item in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(type_name(item, bounds) for item in arguments)
    if origin in (list, tuple, Sequence):
        return f"list of {_inner_name(arguments[0])}"
    if origin in (dict, Mapping):
        return f"mapping of {_inner_name(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "group"
    name = NAMES.get(annotation) or str(getattr(annotation, "__name__", annotation))
    return name + (bounds if annotation in (int, float) else "")


def _inner_name(annotation: Any) -> str:
    name = type_name(annotation)
    return f"({name})" if " | " in name else name


def _family(arguments: Sequence[Any]) -> Family | None:
    return next((mark for mark in arguments[1:] if isinstance(mark, Family)), None)


def _bounds(marks: Sequence[Any]) -> str:
    # Told by their attributes: the classes belong to a package that core does not import.
    found = [f" {sign} {getattr(mark, name)}" for mark in marks for name, sign in BOUNDS.items() if hasattr(mark, name)]
    return ",".join(found)
