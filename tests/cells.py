"""What tests of exports find, cell by cell: format x number format x architecture x what it answers x runtime.

A test that is marked `cells(format=..., runtime=...)` is a cell of the matrix in docs/export-matrix.md. What its marks
do not say, its parameters do: `arch` or `name` (the architecture), `dtype` or `scheme`, `head`. With `--cells FILE`
outcomes are written to FILE, over what earlier runs have left of the same cells; `docs/generate.py` makes the page.
`--missing` runs the cells alone that are not green in FILE yet: the whole matrix takes hours, and may be run in pieces.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

PROPERTY = "cell"
PARAMETERS = {"arch": "model", "name": "model", "dtype": "dtype", "scheme": "dtype", "head": "head"}
DEFAULTS = {"dtype": "float32", "model": "llama", "head": "text"}
SAME = ("format", "runtime", "model", "head", "dtype", "test")
"""What a cell is known by: two tests of the same thing are two entries."""
PACKAGES = {"llama.cpp": "xllamacpp", "transformers": None, "transformers alone": None}
"""The package that a runtime comes with, where it is called otherwise; all cells say the version of transformers."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cells", metavar="FILE", type=Path, help="write what tests of exports find, cell by cell")
    parser.addoption("--missing", action="store_true", help="run the cells alone that are not green in that file yet")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cells(format, runtime, ...): a cell of the matrix in docs/export-matrix.md")
    if (path := config.getoption("--cells")) is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writer(path))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items if config.getoption("--cells") else ():
        if item.get_closest_marker("cells"):
            item.user_properties.append((PROPERTY, cell_of(item)))
    if config.getoption("--cells") and config.getoption("--missing"):
        green = {_key(cell) for cell in _read(config.getoption("--cells")) if cell["result"] == "green"}
        missing = [item for item in items if any(_key(cell) not in green for cell in _cells(item))]
        config.hook.pytest_deselected(items=[item for item in items if item not in missing])
        items[:] = missing


def cell_of(item: pytest.Item) -> dict[str, str]:
    """Return the cell that a marked test is: what its module says, then itself, then its parameters."""
    found: dict[str, Any] = dict(DEFAULTS)
    for mark in reversed(list(item.iter_markers("cells"))):
        found |= mark.kwargs
    given = getattr(item, "callspec", None)
    if given is not None:
        found |= {PARAMETERS[name]: value for name, value in given.params.items() if name in PARAMETERS}
    of_its_own = found.pop("version", None)
    package = PACKAGES.get(found["runtime"], found["runtime"])
    versions = [f"{name} {version(name)}" for name in (package, "torch", "transformers") if name and not of_its_own]
    if of_its_own:
        versions = [f"{found['runtime']} {of_its_own}", f"transformers {version('transformers')}"]
    return {**found, "with": ", ".join(versions), "test": item.nodeid}


def refused(request: pytest.FixtureRequest, words: str, **cell: str) -> None:
    """Record that an exporter refuses a cell, and its words; the test goes on to say whether it should."""
    test = {"test": request.node.nodeid, "with": f"transformers {version('transformers')}"}
    request.node.user_properties.append((PROPERTY, {**DEFAULTS, **cell, **test, "result": "refused", "words": words}))


class _Writer:
    """Gathers what the reports say, those of other processes too, and writes it as it comes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write what is to be run: an interrupted run shows what it has not come to, `--collect-only` all of it."""
        self.add({**cell, "result": "not run", "words": ""} for item in session.items for cell in _cells(item))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.add({**cell, **result} for cell in _cells(report) if (result := _result(report, cell)))

    def add(self, cells: Iterable[dict[str, str]]) -> None:
        if found := list(cells):
            lines = (json.dumps(cell, ensure_ascii=False) for cell in merged([*_read(self.path), *found]))
            self.path.write_text("[\n " + ",\n ".join(lines) + "\n]\n", encoding="utf-8")


def _read(path: Path) -> list[dict[str, Any]]:
    """Return what earlier runs have left."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return found


def _key(cell: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(cell[name] for name in SAME)


def _cells(of: pytest.Item | pytest.TestReport) -> list[dict[str, str]]:
    return [cell for name, cell in of.user_properties if name == PROPERTY]


def _result(report: pytest.TestReport, cell: Mapping[str, str]) -> dict[str, str] | None:
    """Return the outcome of a cell; None of a part of a test that says nothing of it."""
    if report.skipped:
        return {"result": "not run", "words": str(report.longrepr[-1]) if isinstance(report.longrepr, tuple) else ""}
    if report.failed:
        return {"result": "fails"}
    return {"result": "green", **cell} if report.when == "call" else None


def merged(cells: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry for each cell, the latest; what was not run leaves what an earlier run has found."""
    latest: dict[tuple[str, ...], dict[str, Any]] = {}
    for cell in cells:
        key = _key(cell)
        if cell["result"] != "not run" or key not in latest:
            latest[key] = cell
    return [latest[key] for key in sorted(latest)]
