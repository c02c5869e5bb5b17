"""YAML with the 1.2 core schema, where every value remembers its line.

PyYAML alone reads YAML 1.1: `3e-4` is a string, `no` is false, `012` is octal, and the second of two equal keys wins
silently. Recipes are read with the 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema) and equal keys are
errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from llmkit.core.errors import ConfigError

Path = tuple[str | int, ...]

MAX_NODES = 100_000
"""A recipe that expands to more values than this (nested aliases) is refused."""


class _CoreLoader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


_TAG = "tag:yaml.org,2002:"
_COLLECTIONS = (f"{_TAG}map", f"{_TAG}seq")
_PATTERNS: dict[str, re.Pattern[str]] = {}
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
):
    _PATTERNS[_kind] = re.compile(rf"^(?:{_pattern})\Z")
    _CoreLoader.add_implicit_resolver(_TAG + _kind, _PATTERNS[_kind], _first)


@dataclass
class YamlFile:
    """A parsed file.

    Attributes:
        value: Plain dicts, lists and scalars.
        lines: Line number, from 1, of every value by its path.
    """

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)


def read_yaml(text: str, name: str) -> YamlFile:
    """Parse one YAML document.

    Args:
        text: The document.
        name: File name for errors.

    Raises:
        ConfigError: Syntax error, duplicate key, a key that is not a string, a tag beyond the core schema.
    """
    try:
        root = yaml.compose(text, Loader=_CoreLoader)
    except RecursionError:
        raise ConfigError(f"{name}: too deep or too many values for a recipe") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    parsed = YamlFile(value={})
    if root is not None:
        parsed.value = _construct(root, (), name, parsed.lines)
    return parsed


def parse_scalar(text: str, name: str) -> Any:
    """Read the right-hand side of `--set key=value`: a core-schema scalar, or flow style like `[1, 2]` or `{a: 1}`.

    Only what begins with a bracket or a quote is YAML syntax here: `*.txt`, `#5` and `a: b` are text.

    Args:
        text: The right-hand side.
        name: What to call it in errors.
    """
    text = text.strip()
    if text[:1] in ("[", "{", '"', "'"):
        return read_yaml(text, name).value
    tag = _CoreLoader("").resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return _scalar(yaml.ScalarNode(tag, text), name) if text else ""


def _construct(node: yaml.Node, path: Path, name: str, lines: dict[Path, int]) -> Any:
    line = node.start_mark.line + 1
    lines[path] = line
    if len(lines) > MAX_NODES or len(path) > 64:
        raise ConfigError(f"{name}:{line}: too deep or too many values for a recipe")
    if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTIONS:
        raise _unknown_tag(node, f"{name}:{line}")
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*path, i), name, lines) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _construct_mapping(node, path, name, lines)
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node, f"{name}:{line}")


def _construct_mapping(node: yaml.MappingNode, path: Path, name: str, lines: dict[Path, int]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if key is None:
            raise ConfigError(f"{name}:{line}: a key must be a plain name")
        if key in mapping:
            first = lines[(*path, key)]
            raise ConfigError(f"{name}:{line}: key '{key}' is given twice (first on line {first})")
        mapping[key] = _construct(value_node, (*path, key), name, lines)
        lines[(*path, key)] = line
    return mapping


def _scalar(node: yaml.ScalarNode, where: str) -> Any:
    text: str = node.value
    kind = node.tag.removeprefix(_TAG)
    if kind == "str":
        return text
    if kind not in _PATTERNS:
        raise _unknown_tag(node, where)
    try:
        if not _PATTERNS[kind].match(text):  # an explicit tag, such as `!!int foo`
            raise ValueError
        return _convert(kind, text)
    except ValueError:
        raise ConfigError(f"{where}: not a valid {kind}: {text if len(text) <= 60 else text[:60] + '...'}") from None


def _convert(kind: str, text: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        prefix = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:], prefix) if prefix != 10 else int(text)  # ValueError beyond 4,300 digits
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _unknown_tag(node: yaml.Node, where: str) -> ConfigError:
    return ConfigError(f"{where}: tag '{node.tag}' is not part of the YAML core schema")
