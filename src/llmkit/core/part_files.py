"""A part in a file of its own: `tasks: [bench/my.yaml]` means the part that the file describes.

    type: multiple_choice
    data: items.jsonl

Paths of data in it, and of a part of the user's own, are relative to the file, not to the current folder: the file and
what it names move together, and mean the same from wherever it is used. Recipes, which are written for one place,
keep to the current folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import ConfigError, nearest
from llmkit.core.machine import raise_limit
from llmkit.core.own import is_own
from llmkit.core.yaml import Path as KeyPath
from llmkit.core.yaml import YamlFile, read_yaml

if TYPE_CHECKING:
    from pydantic import BaseModel

    from llmkit.core.registry import Family

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class PartFile:
    """A part as its file has it.

    Attributes:
        fields: Its fields; paths are relative to the current folder.
        origins: Where each stands: `FILE:LINE`.
    """

    fields: dict[str, Any]
    origins: dict[KeyPath, str]


def is_part_file(text: Any) -> bool:
    """Tell whether a value names a file with a part."""
    return isinstance(text, str) and text.lower().endswith(SUFFIXES)


def read_mapping(path: Path, what: str) -> YamlFile:
    """Read a YAML file that holds a mapping of fields.

    Args:
        path: The file.
        what: What it is, for errors: `a recipe`.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise_limit(error)
        raise ConfigError(f"{path}: {error.strerror}") from None
    parsed = read_yaml(text, str(path))
    if not isinstance(parsed.value, dict):
        raise ConfigError(f"{path}: {what} is a mapping of fields, not a {type(parsed.value).__name__}")
    return parsed


def read_part_file(text: str, family: Family) -> PartFile:
    """Read a part.

    Args:
        text: The file, as the user wrote it.
        family: The family that it is of; its `files` names the field that gets the file's name.

    Raises:
        ConfigError: There is no such file, or it holds no mapping of fields.
    """
    path = Path(text).expanduser()
    if not path.exists():
        beside = [file.name for file in path.parent.glob("*") if is_part_file(file.name)]
        raise ConfigError(f"no such file: {text}{nearest(path.name, beside)}")
    parsed = read_mapping(path, f"a {family.name} file")
    fields = _placed(parsed.value, path.parent, family)
    if family.files is not None:
        fields.setdefault(family.files, path.stem)
    origins = {place: f"{text}:{line}" for place, line in parsed.lines.items() if place}
    return PartFile(fields, {(): text, **origins})


def open_part_files(config_class: type[BaseModel], values: dict[str, Any], origins: dict[KeyPath, str]) -> None:
    """Put the parts of files in the place of their names, and note where each of their fields stands.

    Args:
        config_class: The config whose values these are.
        values: Changed in place.
        origins: Changed in place.
    """
    for name, family in _families(config_class):
        named = values.get(name)
        if not isinstance(named, list):
            continue  # the config says so when it is validated
        for number, entry in enumerate(named):
            if not is_part_file(entry):
                continue
            where = next((origins[end] for end in ((name, number), (name,)) if end in origins), "")
            try:
                found = read_part_file(entry, family)
            except ConfigError as error:
                said = f"{name}.{number}: {error.message}" + (f" ({where})" if where else "")
                raise ConfigError(said, error.hint) from None
            named[number] = found.fields
            origins |= {(name, number, *place): origin for place, origin in found.origins.items()}


def _families(config_class: type[BaseModel]) -> Iterator[tuple[str, Family]]:
    """Yield the fields that are lists of parts which may have files of their own."""
    from llmkit.core.fields import family_of

    for name, field in config_class.model_fields.items():
        family = family_of(field)
        if family is not None and family.files is not None:
            yield name, family


def _placed(fields: dict[str, Any], folder: Path, family: Family) -> dict[str, Any]:
    """Return fields whose relative paths begin at a folder."""
    from llmkit.core.fields import family_of

    fields = dict(fields)
    kind: Any = fields.get("type")
    if isinstance(kind, str) and is_own(kind):
        kind = _joined(kind, folder)
        fields["type"] = kind
    try:
        part = family.load(kind) if isinstance(kind, str) else None
    except LookupError:
        part = None  # the config says so when it is validated
    for name, value in fields.items():
        field = part.model_fields.get(name) if part is not None else None
        inner = family_of(field) if field is not None else None
        if inner is not None and inner.shorthand is not None:
            fields[name] = _place(value, folder, inner)
    return fields


def _place(value: Any, folder: Path, family: Family) -> Any:
    """Return what a field says with its path in a folder; the name of a set on the hub is no path."""
    assert family.shorthand is not None
    member, field = family.shorthand
    opened = family.open(value) if isinstance(value, str) else value
    if not isinstance(opened, dict) or not isinstance(opened.get(field), str):
        return value
    moved = _joined(opened[field], folder)
    if opened.get("type", member) != member and not Path(moved).exists():
        return value
    return moved if isinstance(value, str) else {**value, field: moved}


def _joined(path: str, folder: Path) -> str:
    if "://" in path or path.startswith("~") or Path(path).is_absolute():
        return path
    return str(folder / path)
