"""docs/architecture.md names files, classes and functions that exist, and the layers that are enforced."""

from __future__ import annotations

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

import llmkit

SOURCE = Path(llmkit.__file__).parent
ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
QUESTION = re.compile(r"^\*\*(.+\?)\*\*$", re.MULTILINE)
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
ASKED = (
    "Where is EOS added between packed documents?",
    "What decides the validation split?",
    "What happens on SIGTERM?",
    "Where is the MLM mask drawn?",
    "Where do bits per byte come from?",
    "How would I add a second tokens format?",
)


def names_in(text: str) -> tuple[set[str], set[str]]:
    """Return the files and the names that stand in a text as code."""
    code = {" ".join(found.split()) for found in re.findall(r"`([^`]+)`", text)}
    files = {name for name in code if name.endswith(".py")}
    return files, {name for name in code - files if NAME.fullmatch(name)}


@cache
def defined(file: str) -> frozenset[str]:
    """Return what a module defines, `Class.member` for what is in a class or set on it, inherited or not."""
    found: set[str] = set()
    for node in ast.parse((SOURCE / file).read_text(encoding="utf-8")).body:
        found |= names_of(node)
        if isinstance(node, ast.ClassDef):
            members = {name for inner in node.body for name in names_of(inner)}
            members |= {
                target.attr
                for inner in ast.walk(node)
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store)
                for target in [inner]
                if isinstance(target.value, ast.Name) and target.value.id == "self"
            }
            found |= {f"{node.name}.{name}" for name in members}
    return frozenset(found)


def names_of(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def answers() -> dict[str, str]:
    parts = QUESTION.split(sections()["Which file to open"])
    return dict(zip(parts[1::2], parts[2::2], strict=True))


LIVES = {
    title: re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    for title, text in sections().items()
    if title != "Which file to open"
}
BLOCKS = {**LIVES, **answers()}


def unknown(text: str) -> list[str]:
    """Return what a text names that is not there: files, and names that none of its files define."""
    files, names = names_in(text)
    there = {file for file in files if (SOURCE / file).is_file()}
    fields = {"validation_fraction", "test_fraction", "auto"}  # of recipes, which the reference has
    known = {name for file in there for name in defined(file)} | fields
    return sorted((files - there) | (names - known))


@pytest.mark.parametrize("title", BLOCKS)
def test_what_is_named_exists(title):
    assert names_in(BLOCKS[title])[0], "it names no file"
    assert unknown(BLOCKS[title]) == []


def test_what_does_not_exist_is_found():
    text = "`core/errors.py`: `nearest`, `UserError.hint`, `farthest`, `UserError.cost`; `core/gone.py`, `--nproc`"
    assert unknown(text) == ["UserError.cost", "core/gone.py", "farthest"]


def test_twelve_questions_are_answered_in_three_files_each():
    assert len(answers()) == 12
    assert tuple(answers())[:6] == ASKED
    assert {
        question: len(names_in(text)[0]) for question, text in answers().items() if len(names_in(text)[0]) > 3
    } == {}


def test_the_layers_are_those_that_are_enforced():
    spec = importlib.util.spec_from_file_location("layers", ROOT / "tests" / "stages" / "test_layers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cells = [line.split("|")[1] for line in sections()["Layers"].splitlines() if line.startswith("| `")]
    assert [set(re.findall(r"`(\w+)`", cell)) for cell in cells] == list(module.LAYERS)
