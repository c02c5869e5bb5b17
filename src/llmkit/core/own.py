"""The user's own parts: `path/to/file.py:Name` is a member of a family, and its digest a part of the identity.

A class is known by its name and by the digests of its file and of the modules of the user's own that this imports. The
path only says where to look: the same file elsewhere makes the same artifact. What an artifact or another process is
told is the digest; a file is imported only where somebody named it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from llmkit.core.digest import canonical_json, digest_text
from llmkit.core.errors import ConfigError, nearest
from llmkit.core.own_files import OwnModule, classes_in, closure, read_modules, shown

PATTERN = r"\.py:[A-Za-z_]\w*$"
"""How a part of the user's own ends, for the schema."""
_MEANT = re.compile(r"[/\\]|\.py\b|^[^:]+:[A-Za-z_]\w*$")
_LAUNCHER = "LLMKIT_LAUNCHER"  # as work/launch.py sets it: who has started this process has said it


@dataclass(frozen=True)
class Origin:
    """Where a class of the user's own is from.

    Attributes:
        name: The class's name.
        modules: Its own, and all others of the user's own that this imports.
    """

    name: str
    modules: tuple[OwnModule, ...]

    @property
    def path(self) -> Path:
        """Its file."""
        return self.modules[0].path

    @property
    def text(self) -> str:
        """What a recipe writes."""
        return f"{shown(self.path)}:{self.name}"

    @property
    def identity(self) -> dict[str, Any]:
        """What the class is, wherever it lies."""
        own, *others = self.modules
        imports = {"imports": {module.name: module.digest for module in others}} if others else {}
        return {"name": self.name, "file": own.digest, **imports}


def is_own(text: str) -> bool:
    """Tell whether a name is `file.py:Name`."""
    return re.search(PATTERN, text) is not None


def is_meant(text: str) -> bool:
    """Tell whether a name that is none was to be `file.py:Name`."""
    return _MEANT.search(text) is not None


def load_own(text: str) -> Any:
    """Import a file, say so, and return what it calls by the name behind the colon.

    Raises:
        LookupError: The file or the name is not there, or the file cannot be imported; in words.
    """
    place, name = _split(text)
    module = _import(place, say=True)
    if not hasattr(module, name) or name.startswith("__"):
        raise LookupError(f"{shown(place)} defines no '{name}'{nearest(name, classes_in(place))}")
    value = getattr(module, name)
    if isinstance(value, type) and value.__module__ != module.__name__:
        there = _modules.get(value.__module__)
        better = f"{shown(there.path)}:{value.__name__}" if there else value.__module__
        raise LookupError(f"{shown(place)} only imports '{name}', which is defined in {better}")
    return value


def origin_of(module: str, name: str) -> Origin | None:
    """Return where a class of some module is from; None for one of an installed module."""
    there = _modules.get(module)
    if there is None:
        return None
    around = {m.name: m for full, m in _modules.items() if full.startswith(f"{module.partition('.')[0]}.")}
    return Origin(name, closure(there.name, {**_elsewhere, **around}))


def register(part: type[Any], origin: Origin) -> None:
    """Let a class be found again by what it is."""
    _classes[canonical_json(origin.identity)] = part


def registered(identity: Any = None) -> list[type[Any]]:
    """Return the classes of the user's own that this process knows, or the one that an identity means."""
    if identity is None:
        return list(_classes.values())
    found = _classes.get(canonical_json(identity))
    return [] if found is None else [found]


def blank(path: str, identity: dict[str, Any]) -> Any:
    """Return an instance without values, in the process that a part was sent to.

    Raises:
        ConfigError: The file is not there, or is not what it was where the part was made.
    """
    if not (found := registered(identity)):
        try:
            _import(Path(path), say=False)
        except LookupError as error:
            raise ConfigError(f"a worker cannot import {path}: {error}") from None
        found = registered(identity)
    if not found:
        raise ConfigError(f"{path} has changed since this run has begun", hint="run the same command again")
    part: Any = found[0]
    return part.__new__(part)


_modules: dict[str, OwnModule] = {}
"""Modules beside a named file, by their names in `sys.modules`."""
_elsewhere: dict[str, OwnModule] = {}
_classes: dict[str, type[Any]] = {}


class _Finder:
    """Finds the modules that were read; a loader at once."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG004
        if (module := _modules.get(name)) is None:
            return None
        below: list[str] | None = [] if module.package else None
        loader: Any = _Finder
        return spec_from_file_location(name, module.path, loader=loader, submodule_search_locations=below)

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:  # noqa: ARG004 - an ordinary one
        return None

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        code = _modules[module.__name__].code
        assert code is not None
        exec(code, module.__dict__)  # noqa: S102 - what was asked for


def _split(text: str) -> tuple[Path, str]:
    """Return file and name.

    Raises:
        LookupError: It is no `file.py:Name`.
    """
    file, separator, name = text.rpartition(":")
    if not separator or "/" in name or name.endswith(".py"):
        file, name = text, ""
    place = Path(file).expanduser().resolve()
    if "://" in file:
        raise LookupError(f"'{text}': a part of your own is a file on this machine: path/to/file.py:Name")
    if place.suffix != ".py":
        raise LookupError(f"'{text}': a part of your own is path/to/file.py:Name, and '{file}' is no .py file")
    if not name:
        if not place.exists():
            read_modules(place)  # says what is there instead
        found = [f"{file}:{each}" for each in classes_in(place)]
        says = f"; it defines {' and '.join(found)}" if found else "; it defines no class"
        raise LookupError(f"'{text}' does not say which class of the file is meant{says}")
    if not name.isidentifier():
        raise LookupError(f"'{text}': '{name}' is no name of a class{nearest(name, classes_in(place))}")
    return place, name


def _import(path: Path, *, say: bool) -> ModuleType:
    """Import a file under a name of its own, once: anew only where it has changed.

    Raises:
        LookupError: It cannot be imported; the message names file and line.
    """
    found = read_modules(path)
    root = f"llmkit_own_{digest_text(str(path.parent))[:12]}"
    full = f"{root}.{next(iter(found))}"
    beside = {f"{root}.{name}": module for name, module in found.items() if module.beside}
    elsewhere = {name: module for name, module in found.items() if not module.beside}
    known = {**_modules, **_elsewhere}
    if any(name in known and known[name].digest != module.digest for name, module in {**beside, **elsewhere}.items()):
        _forget(root, elsewhere)
    if full in sys.modules:
        return sys.modules[full]
    if say and _LAUNCHER not in os.environ and os.environ.get("RANK", "0") == "0":
        from llmkit.core.console import Console

        Console().info(f"importing {shown(path)}")
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    package = sys.modules.setdefault(root, ModuleType(root))
    package.__path__ = []
    _modules.update(beside)
    _elsewhere.update(elsewhere)
    before = list(sys.path)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is the result's
            module = importlib.import_module(full)
    except (Exception, SystemExit) as error:
        _forget(root, elsewhere)
        raise LookupError(_failure(error, path, {str(module.path) for module in found.values()})) from error
    finally:
        after, sys.path[:] = list(sys.path), before
    if after != before:
        _forget(root, elsewhere)
        raise LookupError(
            f"{shown(path)} changes sys.path: what it imports from there is not known; put the modules beside it, or"
            " install them"
        )
    return module


def _forget(root: str, elsewhere: Mapping[str, OwnModule]) -> None:
    # The package as well: it would hand out the modules of before.
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{root}.") or name in elsewhere]:
        del sys.modules[name]
    for name in [name for name in _modules if name.startswith(f"{root}.")]:
        del _modules[name]
    for name in elsewhere:
        _elsewhere.pop(name, None)


def _failure(error: BaseException, path: Path, files: set[str]) -> str:
    """Say in one sentence where and why an import has failed."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    where = f"{shown(Path(lines[-1].filename))}, line {lines[-1].lineno}" if lines else shown(path)
    said = (str(error).strip().splitlines() or [""])[0]
    kind = "it ends the process" if isinstance(error, SystemExit) else type(error).__name__
    return f"{shown(path)} does not import: {where}: {kind}" + (f": {said}" if said else "")
