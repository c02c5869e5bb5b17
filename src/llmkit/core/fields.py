"""The fields of a config as rows: path, type, default, meaning; the members of every family included."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from llmkit.core.registry import Family


@dataclass(frozen=True)
class FieldRow:
    """One line of a field table; `member` is set where the field belongs to one member of a family."""

    path: str
    type: str
    default: str
    description: str


def field_table(model: type[BaseModel], prefix: str = "") -> list[FieldRow]:
    """List a config's fields depth first."""
    return list(_rows(model, prefix))


def _rows(model: type[BaseModel], prefix: str) -> Iterator[FieldRow]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        description = " ".join((field.description or "").split())
        yield FieldRow(path, type_name(field.annotation, field.metadata), default_text(field), description)
        family, item = find_family(field.annotation, field.metadata)
        if family is not None:
            yield from _family_rows(family, f"{path}.N" if item else path)
        for inner, is_item in _models(field.annotation):
            yield from _rows(inner, f"{path}.N." if is_item else f"{path}.")


def _family_rows(family: Family, path: str) -> Iterator[FieldRow]:
    for member in family.members():
        part = family.load(member)
        summary = (part.__doc__ or "").strip().splitlines()[0]
        yield FieldRow(f"{path}.type={member}", family.name, "", summary)
        yield from _rows(part, f"{path}[{member}].")


def find_family(annotation: Any, metadata: Any) -> tuple[Family | None, bool]:
    """Return the family a field's parts belong to, and whether the field is a list of parts."""
    for mark in metadata:
        if isinstance(mark, Family):
            return mark, False
    for argument in get_args(annotation):
        if get_origin(argument) is Annotated:
            family, _ = find_family(get_args(argument)[0], get_args(argument)[1:])
            if family is not None:
                return family, get_origin(annotation) is list
    return None, False


def _models(annotation: Any) -> Iterator[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation.model_fields:
        yield annotation, False
    elif get_origin(annotation) in (list, Union, types.UnionType):
        for argument in get_args(annotation):
            if isinstance(argument, type) and issubclass(argument, BaseModel):
                yield argument, get_origin(annotation) is list


def type_name(annotation: Any, metadata: Any = ()) -> str:
    """Return a type as a recipe author reads it: `integer or null`, `list of source`."""
    family, item = find_family(annotation, metadata)
    if family is not None:
        return f"list of {family.name}" if item else family.name
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(arguments[0], arguments[1:])
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(argument) for argument in arguments)
    if origin is Literal:
        return " or ".join(f"'{argument}'" for argument in arguments)
    if origin is list:
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return "mapping"
    names = {int: "integer", float: "number", str: "string", bool: "true or false", type(None): "null"}
    if annotation in names:
        return names[annotation]
    return "group" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else str(annotation)


def default_text(field: FieldInfo) -> str:
    """Return a field's default as a recipe would write it, or `required`."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return getattr(value, "type_name", "") if find_family(field.annotation, field.metadata)[0] else ""
    if isinstance(value, list):
        return "[" + ", ".join(getattr(item, "type_name", str(item)) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
