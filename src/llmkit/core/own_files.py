"""Read a Python file of the user's own and every module of their own that it imports: their digests, and their code.

What is installed is known by its version. All else that an import statement can reach is the user's own, and an edit
of it is another result: modules beside the file, and those found elsewhere on the path (an editable install,
`PYTHONPATH`). Statements inside functions count; so does `import_module` with a name written out.

Modules beside the file are not on the path, and stay off it: two folders may hold a `words.py` each. They become
members of a package that is the folder's own, and a statement that names one is read as an import from that package.
"""

from __future__ import annotations

import ast
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import CodeType

from llmkit.core.digest import digest_bytes
from llmkit.core.errors import nearest
from llmkit.core.machine import raise_limit

MAX_MODULES = 500
"""Modules elsewhere that are read for one file: more of them are a library, which should be installed."""


@dataclass(frozen=True)
class OwnModule:
    """One module of the user's own.

    Attributes:
        name: Dotted; of one beside the file it is relative to the folder.
        path: Its file, absolute; of a folder without `__init__.py` the folder.
        beside: Whether it is in the file's folder.
        package: Whether modules may lie below it.
        digest: SHA-256 of its bytes; empty for a folder.
        num_bytes: Its size.
        code: Compiled from the same bytes; None for one that is imported the ordinary way.
        imports: Names of the modules of the user's own that it imports.
    """

    name: str
    path: Path
    beside: bool
    package: bool
    digest: str
    num_bytes: int
    code: CodeType | None
    imports: tuple[str, ...]


def read_modules(path: Path) -> dict[str, OwnModule]:
    """Return a file, first, and the modules of the user's own that it imports, by name.

    Raises:
        LookupError: One cannot be read, is no Python, or is imported in a way that says two things.
    """
    reader = _Reader(path.parent)
    name = _module_name(path)
    reader.read(name, path, beside=True, package=False)
    return {name: reader.found.pop(name), **reader.found}


def closure(name: str, modules: Mapping[str, OwnModule]) -> tuple[OwnModule, ...]:
    """Return a module, and those that it imports, and they, by name."""
    todo, seen = [name], {name}
    while todo:
        todo += (new := [other for other in modules[todo.pop()].imports if other not in seen])
        seen |= {*new}
    return (modules[name], *(modules[other] for other in sorted(seen - {name}) if modules[other].digest))


def classes_in(path: Path) -> list[str]:
    """Return the public classes that a file defines, without running it; none if it cannot be read."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def _module_name(path: Path) -> str:
    return path.stem if path.stem.isidentifier() else f"_{digest_bytes(path.name.encode())[:8]}"


class _Reader:
    """Reads modules from one on, each once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, OwnModule] = {}
        self._begun: dict[str, Path] = {}

    def read(self, name: str, path: Path, *, beside: bool, package: bool) -> None:
        if (known := self._begun.get(name)) is not None:
            if known != path:
                raise LookupError(f"'{name}' is both {shown(known)} and {shown(path)}: rename one")
            return
        self._begun[name] = path
        if sum(not module.beside for module in self.found.values()) > MAX_MODULES:
            raise LookupError(f"the modules that it imports import more than {MAX_MODULES} others: install them")
        if package and path.is_dir():
            self.found[name] = OwnModule(name, path, beside, True, "", 0, compile("", str(path), "exec"), ())
            return
        data = _bytes(path)
        tree = _parsed(data, path)
        imports = _Imports(self, name, path, beside=beside, package=package)
        tree = ast.fix_missing_locations(imports.visit(tree))
        code = compile(tree, str(path), "exec", dont_inherit=True) if beside else None
        names = tuple(dict.fromkeys(imports.names))
        self.found[name] = OwnModule(name, path, beside, package, digest_bytes(data), len(data), code, names)

    def beside(self, dotted: str) -> list[tuple[str, Path, bool]]:
        """Return name, file and kind of a module in the folder and of the packages above it; empty if there is none."""
        place, steps = self.folder, []
        parts = dotted.split(".")
        for end, part in enumerate(parts, 1):
            name, place = ".".join(parts[:end]), place / part
            file = place.with_name(f"{part}.py")
            if (place / "__init__.py").is_file():
                steps.append((name, place / "__init__.py", True))
            elif file.is_file():
                steps.append((name, file, False))
            elif place.is_dir():
                steps.append((name, place, True))
            else:
                break
        while steps and steps[-1][1].is_dir():  # a folder alone is a package only for the sake of what is in it
            steps.pop()
        return steps


class _Imports(ast.NodeTransformer):
    """Finds what a module imports, and turns statements that name a module beside it into relative ones."""

    def __init__(self, reader: _Reader, name: str, path: Path, *, beside: bool, package: bool) -> None:
        self.reader, self.path, self.beside = reader, path, beside
        self.names: list[str] = []
        self.package = name.split(".") if package else name.split(".")[:-1]

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for alias in node.names:
            relative = self._take(alias.name, (), node)
            made += self._from_here(alias) if relative else [ast.Import([alias])]
        return [ast.copy_location(statement, node) for statement in made]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        names = [alias.name for alias in node.names]
        if node.level:
            if node.level - 1 <= len(self.package):
                base = self.package[: len(self.package) - node.level + 1]
                self._take_relative([*base, *(node.module or "").split(".")], names)
        elif node.module and self._take(node.module, names, node):
            node.level = len(self.package) + 1
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = node.args[0] if node.args else None
        if (
            called in ("import_module", "__import__")
            and isinstance(given, ast.Constant)
            and isinstance(given.value, str)
        ):
            self._called(node, called, given.value)
        return self.generic_visit(node)

    def _called(self, node: ast.Call, called: str, name: str) -> None:
        """Read what a call imports, and let it find there what a statement would."""
        dotted = name.lstrip(".")
        if level := len(name) - len(dotted):
            if level - 1 <= len(self.package):
                self._take_relative([*self.package[: len(self.package) - level + 1], *dotted.split(".")], ())
        elif self._take(name, (), node):
            level = len(self.package) + 1
            owner = getattr(node.func, "value", None)
            if owner is not None and getattr(owner, "id", "") != "importlib":
                return  # somebody's own function
            if called == "import_module":
                node.args, node.keywords = [ast.Constant("." * level + name), _name("__package__")], []
            elif len(node.args) == 1 and not node.keywords:
                here = ast.Call(_name("globals"), [], [])
                node.args += [here, ast.Constant(None), ast.Tuple([], ast.Load()), ast.Constant(level)]

    def _take(self, dotted: str, names: Iterable[str], node: ast.stmt | ast.expr) -> bool:
        """Read what an absolute import reaches; return whether it lies beside the file."""
        every = [dotted, *(f"{dotted}.{name}" for name in names)]
        mine = next((found[0][1] for full in every if (found := self.reader.beside(full))), None)
        if not self.beside or mine is None:
            self._read_elsewhere(every)
            return False
        top = dotted.partition(".")[0]
        other = _elsewhere(top)
        if other is not None and other.resolve() != mine.resolve():
            hidden = "the standard library's" if top in sys.stdlib_module_names else f"the installed {other}"
            raise LookupError(
                f"{shown(self.path)}, line {node.lineno}: '{top}' may be {shown(mine)} or {hidden}; rename the"
                f" first, or write `from . import {top}` if it is meant"
            )
        self._read_beside(dotted, names)
        return True

    def _take_relative(self, base: list[str], names: Iterable[str]) -> None:
        dotted = ".".join(filter(None, base))
        if self.beside:
            self._read_beside(dotted, names)
        else:
            self._read_elsewhere([dotted, *(f"{dotted}.{name}" for name in names)])

    def _read_beside(self, dotted: str, names: Iterable[str]) -> None:
        prefix = f"{dotted}." if dotted else ""
        for full in [*([dotted] if dotted else []), *(prefix + name for name in names)]:
            for name, path, package in self.reader.beside(full):
                self.names.append(name)
                self.reader.read(name, path, beside=True, package=package)

    def _read_elsewhere(self, dotted: Iterable[str]) -> None:
        for full in dotted:
            for name, path, package in _local(full):
                self.names.append(name)
                self.reader.read(name, path, beside=False, package=package)

    def _from_here(self, alias: ast.alias) -> Iterator[ast.stmt]:
        """Yield what says `import a.b` of the folder's own package."""
        level, (above, _, last) = len(self.package) + 1, alias.name.rpartition(".")
        if alias.asname or not above:
            yield ast.ImportFrom(above or None, [ast.alias(last, alias.asname)], level)
            return
        yield ast.ImportFrom(above, [ast.alias(last, f"_{alias.name.replace('.', '_')}")], level)
        yield ast.ImportFrom(None, [ast.alias(alias.name.partition(".")[0])], level)


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        siblings = [file.name for file in path.parent.glob("*.py")] if path.parent.is_dir() else []
        where = "" if path.parent.is_dir() else f"; there is no folder {path.parent}"
        raise LookupError(f"no such file: {shown(path)}{where or nearest(path.name, siblings)}") from None
    except OSError as error:
        raise_limit(error)
        raise LookupError(f"{shown(path)}: {error.strerror}") from None


def _parsed(data: bytes, path: Path) -> ast.Module:
    try:
        return ast.parse(data, str(path))
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise LookupError(f"{shown(path)}{line}: {type(error).__name__}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise LookupError(f"{shown(path)}: no Python: {error}") from None


def shown(path: Path) -> str:
    """Return a path relative to the current directory where it lies below it."""
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.as_posix()


def _elsewhere(top: str) -> Path | None:
    """Return where the ordinary import of a top-level name finds it; None if it does not."""
    if top in sys.stdlib_module_names:
        return Path(top)
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = [spec.origin, *(spec.submodule_search_locations or ())]
    return next((Path(place) for place in places if place), None)


def _local(dotted: str) -> Iterator[tuple[str, Path, bool]]:
    """Yield the modules of a dotted name that are neither installed nor ours."""
    parts = dotted.split(".")
    if parts[0] in (*sys.stdlib_module_names, "llmkit", ""):
        return
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        return
    for end in range(1, len(parts) + 1):
        if spec is None:
            return
        below = spec.submodule_search_locations
        if spec.origin and spec.origin.endswith(".py"):
            path = Path(spec.origin).absolute()
            if any(path.is_relative_to(place) for place in _installed()):
                return
            yield ".".join(parts[:end]), path, below is not None
        if below is None or end == len(parts):
            return
        spec = PathFinder.find_spec(".".join(parts[: end + 1]), list(below))


@cache
def _installed() -> tuple[Path, ...]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(dict.fromkeys(place for path in paths for place in (Path(path), Path(path).resolve())))
