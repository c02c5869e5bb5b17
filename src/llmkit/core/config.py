"""One config language: a recipe fills a stage's frozen pydantic model; `--set` and named options override it.

Later wins: defaults, recipe, `--set`, named options. Every value remembers where it came from, so that `--dry-run` can
say so and every error can name its file and line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from llmkit.core.errors import ConfigError
from llmkit.core.part import STRICT, Budget, NotIdentity, Part, dump, plain
from llmkit.core.part_files import open_part_files, read_mapping
from llmkit.core.problems import describe, places, walk
from llmkit.core.registry import Family
from llmkit.core.yaml import Path as KeyPath
from llmkit.core.yaml import parse_scalar

__all__ = ["Budget", "Config", "NotIdentity", "Resolved", "dump", "json_schema", "leaves", "parse_key", "resolve"]
"""The marks and `dump` are `part.py`'s: whoever writes a config finds all of it here."""


class Config(BaseModel):
    """Base of every stage's config, and of the groups inside one."""

    model_config = STRICT


C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Resolved(Generic[C]):
    """A config and where each value came from.

    Attributes:
        config: The validated config.
        origins: Origin of every written value by key path: `FILE:LINE`, `--set`, or an option's name. A path that is
            missing has its default.
        written: The values before validation.
    """

    config: C
    origins: dict[KeyPath, str]
    written: Mapping[str, Any]

    def origin(self, path: KeyPath) -> str:
        """Where the value at `path` came from; what a written value stands for (a part's bare name) has its origin."""
        place: Any = self.written
        key: Any
        for key in path:
            if isinstance(place, dict) and key not in place:
                return "default"
            place = place[key] if isinstance(place, dict | list) else None
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return "default"


def resolve(
    config_class: type[C],
    *,
    recipe: Path | None = None,
    sets: Sequence[str] = (),
    options: Mapping[str, tuple[str, Any]] | None = None,
    absent: Mapping[str, Any] | None = None,
    hint: str | None = None,
) -> Resolved[C]:
    """Build a config from a recipe file, `--set` expressions and named options.

    Args:
        config_class: The stage's config.
        recipe: YAML file, or None.
        sets: `dotted.key=value` expressions; an integer in the key reaches into a list.
        options: Dotted key -> (option name, value); None values are left out.
        absent: Values of fields that none of these gives.
        hint: What to type to see the valid fields, for errors.

    Raises:
        ConfigError: Every problem found, one line each, with its dotted path and origin.
    """
    values, origins = _read_recipe(recipe)
    open_part_files(config_class, values, origins)
    given = [_split(expression) for expression in sets]
    named = {parse_key(key): (flag, value) for key, (flag, value) in (options or {}).items() if value is not None}
    # `-i FILE -s inputs.0.text_field=body` refines what the option gave; elsewhere the option wins.
    refining = [any(path[: len(key)] == key != path for key in named) for path, _ in given]

    def assign_sets(*, after_options: bool) -> None:
        for (path, text), refines in zip(given, refining, strict=True):
            if refines == after_options:
                value = parse_scalar(text, f"--set {_dotted(path)}")
                _assign(config_class, values, path, value, origins, "--set")

    assign_sets(after_options=False)
    for path, (flag, value) in named.items():
        _assign(config_class, values, path, value, origins, flag)
    open_part_files(config_class, values, origins)
    assign_sets(after_options=True)
    values = {**(absent or {}), **values}
    _check_text(values, origins)
    try:
        config = _validate(config_class, values, dict(given))
    except ValidationError as error:
        flags = {parse_key(key): flag for key, (flag, _) in (options or {}).items()}
        problems = describe(error, config_class, origins, flags)
        raise ConfigError("\n".join(problems), hint=hint) from None
    resolved = Resolved(config, origins, values)
    _refuse_not_finite(resolved)
    return resolved


def _refuse_not_finite(resolved: Resolved[Any]) -> None:
    """Refuse NaN and infinity where a field takes any value: neither the identity nor a file in JSON has a word for it.

    `1e999` is infinite as well. An architecture's own default may be (Mamba's `time_step_limit`): it is not written.
    """
    for path, value in leaves(dump(resolved.config)):
        if isinstance(value, float) and not math.isfinite(value):
            origin = resolved.origin(path)
            raise ConfigError(
                f"{_dotted(path)}: should be a finite number, got {value} ({origin})",
                hint="a field that is left out has its default",
            )


def _check_text(values: Any, origins: Mapping[KeyPath, str]) -> None:
    """Refuse halves of characters beyond 16 bits: no file can hold them, and names with them are not UTF-8."""
    for path, value in leaves(values):
        try:
            f"{_dotted(path)}{value}".encode()
        except UnicodeEncodeError:
            where = next((origins[path[:end]] for end in range(len(path), 0, -1) if path[:end] in origins), "")
            raise ConfigError(
                f"{_dotted(path)!a}: {value!a} is not UTF-8 text" + (f" ({where})" if where else ""),
                hint="write the character itself, or rename the file",
            ) from None


def _split(expression: str) -> tuple[KeyPath, str]:
    """Split `dotted.key=value`."""
    key, separator, text = expression.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {expression}: expected KEY=VALUE, such as --set seed=1")
    return parse_key(key), text


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _validate(config_class: type[C], values: dict[str, Any], raw_texts: dict[KeyPath, str]) -> C:
    """Validate; where `--set path=123` met a field that wants text, take the text as it was typed."""
    try:
        return config_class.model_validate(values)
    except ValidationError as error:
        wrong = set(places(error.errors(), config_class))
        # Not where a deeper `--set` has opened the value: its text would undo that one.
        opened = {path[:end] for path in raw_texts for end in range(len(path))}
        retry = [
            path for path in raw_texts if path not in opened and any(place[: len(path)] == path for place in wrong)
        ]
        if not retry:
            raise
        for path in retry:
            _put(config_class, values, path, raw_texts[path])
        try:
            return config_class.model_validate(values)
        except ValidationError:
            raise error from None


def _read_recipe(recipe: Path | None) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    if recipe is None:
        return {}, {}
    parsed = read_mapping(recipe, "a recipe")
    return parsed.value, {path: f"{recipe}:{line}" for path, line in parsed.lines.items() if path}


def parse_key(dotted: str) -> KeyPath:
    """Split `data.0.weight` into its parts; digits become list positions."""
    return tuple(int(part) if part.isascii() and part.isdigit() else part for part in dotted.strip().split("."))


def _assign(
    config_class: type[Config],
    values: dict[str, Any],
    path: KeyPath,
    value: Any,
    origins: dict[KeyPath, str],
    origin: str,
) -> None:
    _write_defaults(config_class, values, path)
    _put(config_class, values, path, value)
    for known in [known for known in origins if known[: len(path)] == path]:
        del origins[known]
    origins[path] = origin


def _write_defaults(model: Any, values: dict[str, Any], path: KeyPath) -> None:
    """Write out the defaults on the way: `steps.1.min_chars=5` edits the default `steps`, it does not replace them."""
    for key, inner in pairwise(map(str, path)):
        field = getattr(model, "model_fields", {}).get(key)
        if field is None or not isinstance(values, dict):
            return
        if values.get(key) is None and not field.is_required():
            default = field.get_default(call_default_factory=True)
            # Another type of part, named or meant by a field of its own: nothing of the default part stays.
            other = isinstance(default, Part) and inner not in type(default).model_fields
            values[key] = {} if other else plain(default)
        model, values = field.annotation, values.get(key, {})


def _put(config_class: type[Config], values: dict[str, Any], path: KeyPath, value: Any) -> None:
    place: Any = values
    key: Any
    for depth, key in enumerate(path):
        last = depth == len(path) - 1
        here = ".".join(str(part) for part in path[: depth + 1])
        if isinstance(place, list):
            if not isinstance(key, int) or key > len(place):
                raise ConfigError(
                    f"--set {here}: the list has {len(place)} entries; use a position from 0 to {len(place)}"
                )
            if key == len(place):
                place.append({})
        elif isinstance(place, dict):
            key = str(key)  # noqa: PLW2901 - a mapping may have digits for keys
        else:
            raise ConfigError(f"--set {here}: there is no field inside a {type(place).__name__}")
        if last:
            place[key] = value
            return
        inner = place.get(key) if isinstance(place, dict) else place[key]
        if isinstance(inner, str):  # a bare part name: open it up
            inner = _open(config_class, path[: depth + 1], inner)
        elif inner is None:
            inner = [] if isinstance(path[depth + 1], int) else {}
        place[key] = inner
        place = inner


def _open(config_class: type[Config], path: KeyPath, text: str) -> dict[str, Any]:
    (_, owner), (_, annotation) = walk(config_class, path[:-1]), walk(config_class, path)
    marks = () if annotation is owner else getattr(annotation, "__metadata__", ())  # a field that a member alone has
    family = next((mark for mark in marks if isinstance(mark, Family)), None)
    return family.open(text) if family else {"type": text}


def json_schema(config_class: type[Config]) -> dict[str, Any]:
    """Return the JSON Schema of a recipe for this config, every family member included.

    A recipe may leave any field to the command line: those that the config requires are not required of a recipe.
    """
    schema = config_class.model_json_schema()
    schema.pop("required", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def leaves(value: Any, path: KeyPath = ()) -> list[tuple[KeyPath, Any]]:
    """Flatten nested plain values to (path, scalar) pairs; empty containers count as scalars."""
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for i, item in enumerate(value) for leaf in leaves(item, (*path, i))]
    return [(path, value)]
