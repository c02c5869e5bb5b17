"""What runs here, for another machine: the exact versions of what is installed, and llmkit itself as a wheel."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import llmkit
from llmkit.core.errors import SetupError
from llmkit.core.extras import EXTRAS, check
from llmkit.core.recipes import shipped_recipes

NAME = "llmkit"
TORCH = "https://download.pytorch.org/whl/"
"""Where builds of torch for one kind of machine lie, `cpu` or `cu128`: the package index has none of them."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the wheel: the same source makes the same bytes."""


def pinned(extras: Sequence[str]) -> list[str]:
    """Return the lines of requirements.txt: all that llmkit and some of its extras need, in the versions found here.

    Raises:
        SetupError: Something that is needed is not installed.
    """
    found: dict[str, Distribution] = {}
    todo = [(NAME, frozenset[str]()), *((name, frozenset[str]()) for name in _of_extras(extras))]
    asked: set[tuple[str, frozenset[str]]] = set()
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in asked:
            continue
        asked.add((name, wanted))
        found[name] = _installed(name)
        todo += [
            (canonicalize_name(one.name), frozenset(one.extras)) for one in _needed(found[name].requires or (), wanted)
        ]
    del found[NAME]
    lines = [f"{one.name}=={one.version}" for one in found.values()]
    built_for = {one.version.partition("+")[2] for one in found.values() if one.name == "torch"} - {""}
    return [*(f"--extra-index-url {TORCH}{kind}" for kind in sorted(built_for)), *sorted(lines, key=str.lower)]


def _of_extras(extras: Sequence[str]) -> Iterator[str]:
    """Yield the packages that extras bring, by what is imported of them."""
    packages = packages_distributions()
    for extra in extras:
        for module in EXTRAS[extra]:
            check(extra, module)
            yield canonicalize_name(packages[module][0])


def _needed(lines: Iterable[str], extras: frozenset[str]) -> Iterator[Requirement]:
    for line in lines:
        requirement, kinds = Requirement(line), extras or frozenset({""})
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": kind}) for kind in kinds):
            yield requirement


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise SetupError(
            f"the versions that are pinned are those of this machine, and {name} is not installed here",
            'pip install "llmkit[serve]"',
        ) from None


def write_wheel(directory: Path) -> Path:
    """Write llmkit as it runs here, recipes included, as a wheel that pip installs.

    An index may have another llmkit of this version, or none: what has been proven is this one.
    """
    info = f"{NAME}-{llmkit.__version__}.dist-info"
    path = directory / f"{NAME}-{llmkit.__version__}-py3-none-any.whl"
    files = dict(_source())
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: llmkit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nllmkit = llmkit.cli.main:main\n"
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            wheel.writestr(zipfile.ZipInfo(name, LONG_AGO), data, zipfile.ZIP_DEFLATED)
    return path


def _source() -> Iterator[tuple[str, bytes]]:
    package, recipes = Path(llmkit.__file__).resolve().parent, shipped_recipes()
    for root, below in ((package, NAME), (recipes, f"{NAME}/recipes")):
        for file in sorted(root.rglob("*")):
            inner = file.relative_to(root)
            is_recipe = root == package and inner.parts[0] == "recipes"
            if file.is_file() and "__pycache__" not in inner.parts and not is_recipe:
                yield f"{below}/{inner.as_posix()}", file.read_bytes()


def _metadata() -> str:
    """Return what pip reads of the wheel: no dependencies, since requirements.txt has all of them, one by one."""
    return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {llmkit.__version__}\nRequires-Python: >=3.11\n"


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
