"""What the pages show stays true: commands have their options, example members work, recipes name their schemas."""

from __future__ import annotations

import json
import re
import shlex
import sys
import types
from pathlib import Path

import pytest
import typer
import yaml

from llmkit.cleaning.steps import Drop
from llmkit.cli.main import app
from llmkit.core.registry import PACKAGES, Part
from llmkit.data.corpus import Document

ROOT = Path(__file__).resolve().parents[3]
PAGES = [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/stages/*.md")), ROOT / "CONTRIBUTING.md"]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, code) of every fenced block in one language."""
    return [(page.name, code) for page in PAGES for kind, code in FENCED.findall(page.read_text()) if kind == language]


COMMANDS = sorted({line for _, code in blocks("sh") for line in code.splitlines() if line.startswith("llmkit ")})
MEMBERS = [(page, code) for page, code in blocks("python") if code.startswith('"""')]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_has_the_options_it_is_shown_with(line):
    command = typer.main.get_command(app)
    words = shlex.split(line, comments=True)[1:]
    while hasattr(command, "list_commands"):
        command = command.get_command(None, words.pop(0))
        assert command is not None
    options = {name for param in command.params for name in param.opts}
    assert {word for word in words if word.startswith("-")} <= options
    if any(param.name == "output" for param in command.params):
        assert "-o" in words or "--dry-run" in words


def test_there_are_commands_and_examples_to_check():
    assert len(COMMANDS) >= 20
    assert sorted(page for page, _ in MEMBERS) == [
        "CONTRIBUTING.md", "clean.md", "clean.md", "eval.md", "export.md", "finetune.md", "pretrain.md",
    ]  # fmt: skip


def member(code: str) -> type[Part]:
    """Run a module as the page has it and return its one part."""
    module = types.ModuleType("shown_member")
    sys.modules[module.__name__] = module  # pydantic looks a model's annotations up there
    try:
        exec(compile(code, "page", "exec"), vars(module))
    finally:
        del sys.modules[module.__name__]
    (part,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Part) and value.__module__ == module.__name__
    ]
    return part


@pytest.mark.parametrize(
    "code", [code for _, code in MEMBERS], ids=[f"{i}-{page}" for i, (page, _) in enumerate(MEMBERS)]
)
def test_an_example_fills_in_what_its_family_leaves_open(code):
    part = member(code)
    base = part.__mro__[1]
    while base.__module__ not in PACKAGES.values():
        base = base.__mro__[1]
    assert part.__doc__ != base.__doc__
    open_methods = {
        name
        for cls in part.__mro__
        for name, value in vars(cls).items()
        if isinstance(value, types.FunctionType) and "NotImplementedError" in value.__code__.co_names
    }
    missing = {name for name in open_methods if "NotImplementedError" in getattr(part, name).__code__.co_names}
    assert missing <= {"specials", "encode"}, "an objective needs one of the two, by its layout"
    assert len(missing) <= 1


def test_the_example_step_drops_what_it_says():
    (code,) = [code for _, code in MEMBERS if "class Letters" in code]
    step = member(code)(min_share=0.6)
    assert step.apply(Document("0" * 32, "abc de 12", "x")) is None  # 5 letters of 7
    assert step.apply(Document("0" * 32, "ab 12", "x")) == Drop("letters.min_share", 0.5, 0.6)


def test_every_recipe_names_the_schema_of_its_stage():
    recipes = sorted(ROOT.glob("recipes/**/*.yaml"))
    assert len(recipes) > 10
    for recipe in recipes:
        line = recipe.read_text().splitlines()[0]
        schema = (recipe.parent / line.partition("$schema=")[2]).resolve()
        assert schema.parent == ROOT / "docs" / "reference" / "schema", recipe
        assert yaml.safe_load(recipe.read_text()).keys() <= json.loads(schema.read_text())["properties"].keys(), recipe
