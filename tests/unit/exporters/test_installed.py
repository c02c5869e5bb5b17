"""What is taken along for another machine: versions of what is needed, and llmkit as a wheel that pip installs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import llmkit
from llmkit.core.errors import SetupError
from llmkit.exporters import _installed


class Fake:
    """An installed package."""

    def __init__(self, name, number, requires=()):
        self.name, self.version, self.requires = name, number, list(requires)


@pytest.fixture
def installed(monkeypatch):
    """A machine with a few packages."""
    found = {
        "llmkit": Fake("llmkit", "0.1.0", ["torch>=2", "Typer", 'ray; extra == "ray"']),
        "torch": Fake("torch", "2.13.0+cpu", ["sympy", 'colorama; sys_platform == "win32"']),
        "sympy": Fake("sympy", "1.14"),
        "typer": Fake("typer", "0.29.1", ["rich[jupyter]"]),
        "rich": Fake("rich", "14.1", ['ipywidgets; extra == "jupyter"']),
        "ipywidgets": Fake("ipywidgets", "8.1", ["rich"]),
        "fast-api": Fake("fast-api", "0.120"),
        "pytest": Fake("pytest", "9.2"),
    }

    def distribution(name):
        try:
            return found[name]
        except KeyError:
            raise _installed.PackageNotFoundError(name) from None

    monkeypatch.setattr(_installed, "distribution", distribution)
    monkeypatch.setattr(_installed, "packages_distributions", lambda: {"quick_api": ["Fast_API"]})
    monkeypatch.setitem(_installed.EXTRAS, "serve", {"quick_api": "`serve`"})
    monkeypatch.setattr(_installed, "check", lambda extra, module: None)
    return found


def test_everything_that_is_needed_is_pinned_and_nothing_else(installed):
    """By hand: extras of extras and circles are followed; other systems, other extras and strangers are not."""
    assert _installed.pinned(["serve"]) == [
        "--extra-index-url https://download.pytorch.org/whl/cpu", "fast-api==0.120", "ipywidgets==8.1", "rich==14.1",
        "sympy==1.14", "torch==2.13.0+cpu", "typer==0.29.1",
    ]  # fmt: skip


def test_without_extras_and_with_torch_of_the_index(installed):
    installed["torch"].version = "2.13.0"
    assert _installed.pinned([]) == [
        "ipywidgets==8.1", "rich==14.1", "sympy==1.14", "torch==2.13.0", "typer==0.29.1",
    ]  # fmt: skip


def test_what_is_not_installed_cannot_be_pinned(installed):
    del installed["sympy"]
    with pytest.raises(SetupError, match="sympy is not installed here") as error:
        _installed.pinned(["serve"])
    assert error.value.hint == 'pip install "llmkit[serve]"'


def test_the_versions_of_this_machine():
    lines = _installed.pinned([])
    assert f"transformers=={version('transformers')}" in lines
    assert not any(line.startswith(("llmkit", "pytest==", "ruff")) for line in lines)


def test_the_wheel_is_this_llmkit(tmp_path):
    wheel = _installed.write_wheel(tmp_path)
    assert wheel.name == f"llmkit-{llmkit.__version__}-py3-none-any.whl"
    package = Path(llmkit.__file__).parent
    with zipfile.ZipFile(wheel) as held:
        names = set(held.namelist())
        for file in ("__init__.py", "runtimes/transformers_js.mjs"):
            assert held.read(f"llmkit/{file}") == (package / file).read_bytes()
    assert "llmkit/recipes/quickstart/Makefile" in names
    assert not any("__pycache__" in name for name in names)
    again = tmp_path / "again"
    again.mkdir()
    assert _installed.write_wheel(again).read_bytes() == wheel.read_bytes()


def test_pip_installs_the_wheel_and_it_runs(tmp_path):
    wheel, target = _installed.write_wheel(tmp_path), tmp_path / "there"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    code = "import llmkit, llmkit.core.recipes as r; print(llmkit.__file__); print(len(r.recipe_names()))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(target)}, capture_output=True, text=True, check=True
    )
    where, recipes = done.stdout.split()
    assert Path(where).is_relative_to(target)
    assert int(recipes) > 30
