from __future__ import annotations

from pathlib import Path

import pytest

from llmkit.core.config import dump
from llmkit.core.errors import ConfigError
from llmkit.core.recipes import find_recipe, recipe_names, recipe_stage, shipped_recipes
from llmkit.stages import STAGES, load_stage

SHIPPED = sorted(shipped_recipes().rglob("*.yaml"))


INPUT = {"inputs": ("--input", ["raw"])}


def open_ended(path):
    """Tell whether a recipe says what is done to any input, and so names none."""
    return path.parent.name in ("clean", "tokenize", "predict", "generate", "index")


def stage_of(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    prefix = "# yaml-language-server: $schema=../../docs/reference/schema/"
    assert first.startswith(prefix), path
    assert first.endswith(".json"), path
    return first.removeprefix(prefix).removesuffix(".json")


def test_all_are_found():
    assert len(SHIPPED) == len(recipe_names()) >= 30
    assert {stage_of(path) for path in SHIPPED} == set(STAGES)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped(path):
    stage = stage_of(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith("# "), "the second line says what the recipe is for"
    assert lines[1].endswith((".", ":")) or lines[2].startswith("# ")
    resolved = load_stage(stage).resolve(recipe=path, options=INPUT if open_ended(path) else None)
    assert load_stage(stage).config.model_validate(dump(resolved.config)) == resolved.config
    name = path.relative_to(shipped_recipes()).with_suffix("").as_posix()
    assert find_recipe(name, stage) == path


@pytest.mark.parametrize("path", list(filter(open_ended, SHIPPED)), ids=lambda path: path.stem)
@pytest.mark.parametrize("arguments", [["-o", "out"], ["--dry-run"]])
def test_a_recipe_for_any_input_reads_none_of_its_own(cli, path, arguments):
    outcome = cli(path.parent.name, "-r", path.stem, *arguments)
    assert outcome.code == 2
    assert "error: inputs: required, but not given; give it with --input\n" in outcome.err
    assert not Path("out").exists()


def test_names_for_a_stage():
    names = recipe_names("clean")
    assert names["english"] == names["clean/english"]
    assert "english" not in recipe_names()
    assert "english" not in recipe_names("tokenize")
    assert "quickstart/clean" in recipe_names("tokenize")


@pytest.mark.parametrize(
    ("reference", "stage"),
    [
        ("english", "clean"),
        ("clean/english", "clean"),
        ("t5-unigram", "tokenize"),
        ("chat", "finetune"),
        ("quickstart/eval", "eval"),
        ("quickstart/pairs", None),  # a recipe of clean, which neither its folder nor its name tells
        ("englsh", None),
        ("clean/englsh", None),
        ("file.yaml", None),
    ],
)
def test_the_stage_of_a_shipped_recipe(reference, stage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.yaml").write_text("inputs: [a]\n")
    assert recipe_stage(reference, list(STAGES)) == stage


def test_a_path_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_recipe("english", "clean").parent.name == "clean"
    (tmp_path / "english").write_text("inputs: [a]\n")
    assert find_recipe("english", "clean").read_text() == "inputs: [a]\n"
    assert recipe_stage("english", ["clean"]) is None


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("englsh", "no recipe 'englsh' for clean; did you mean 'english'?"),
        ("quickstart/claen", "no recipe 'quickstart/claen' for clean; did you mean 'quickstart/clean'?"),
        ("none.yaml", "no such recipe file: none.yaml"),
        (".", "no such recipe file: ."),
    ],
)
def test_unknown(reference, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find_recipe(reference, "clean")
    assert (caught.value.message, caught.value.hint) == (message, "llmkit recipes list")


def test_cli(cli):
    outcome = cli("recipes", "list", "--json")
    assert outcome.code == 0
    assert set(outcome.json["recipes"]) == set(recipe_names())
    assert all(outcome.json["recipes"].values())
    outcome = cli("recipes", "show", "clean/english")
    assert (outcome.code, outcome.out) == (0, recipe_names()["clean/english"].read_text(encoding="utf-8"))
    outcome = cli("recipes", "show", "clean/engish")
    assert outcome.code == 2
    assert "no recipe 'clean/engish'; did you mean 'clean/english'?" in outcome.err
    outcome = cli("clean", "-r", "englsh", "-o", "out")
    assert outcome.code == 2
    assert "did you mean 'english'?" in outcome.err
