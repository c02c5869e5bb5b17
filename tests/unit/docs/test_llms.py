"""docs/llms.txt says of the command line, of `--json` and of exit codes what they do."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import typer

from llmkit.cli.main import app
from llmkit.core.recipes import recipe_names
from llmkit.data import artifacts
from llmkit.stages import STAGES

DOCS = Path(__file__).resolve().parents[3] / "docs"
TEXT = (DOCS / "llms.txt").read_text(encoding="utf-8")
# What reads it pays for every byte: this many for each line of a section, on average, and for all the rest together.
MOST_BYTES = {"Commands": 400, "Recipes": 90, "Config": 130, "Pages": 50}
MOST_REST = 6_500


@pytest.fixture(scope="module")
def llms():
    spec = importlib.util.spec_from_file_location("docs_llms", DOCS / "llms.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def section(title: str) -> str:
    """Return what stands under a headline."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_it_has_the_form_of_an_llms_txt():
    lines = TEXT.splitlines()
    assert lines[0] == "# llmkit"
    assert lines[2].startswith("> ")
    headlines = [line for line in lines if line.startswith("#")]
    assert headlines == ["# llmkit", *(f"## {name}" for name in (
        "Commands", "Recipes", "Config", "Exit codes", "JSON", "Artifacts", "Resume", "When something fails", "Pages",
    ))]  # fmt: skip
    rest = len(TEXT.encode())
    for title, most in MOST_BYTES.items():
        text = section(title)
        rest -= len(text.encode())
        assert len(text.encode()) < most * len(re.findall(r"^- ", text, re.MULTILINE)), title
    assert rest < MOST_REST
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(targets) > 40
    assert [target for target in targets if not (DOCS / target).is_file()] == []


def test_it_names_every_command_recipe_stage_and_kind():
    root = typer.main.get_command(app)
    names = [name for name in root.list_commands(None) if not root.get_command(None, name).hidden]
    assert [name for name in names if f"- [llmkit {name}" not in section("Commands")] == []
    assert re.findall(r"^- `([^`]+)`", section("Recipes"), re.MULTILINE) == list(recipe_names())
    assert re.findall(r"^(\w+) \(\[schema\]", section("Config"), re.MULTILINE) == list(STAGES)
    kinds = re.findall(r"^- (.*?):", section("Artifacts"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(kinds))) == sorted(
        getattr(artifacts, name).KIND for name in artifacts.__all__
    )


def test_each_option_of_a_stage_is_named_with_it_or_with_all():
    root = typer.main.get_command(app)
    shared = section("Commands").rpartition("Every stage also takes")[2]
    for name in STAGES:
        starts = (f"- [llmkit {name}]", f"- [llmkit {name} ")
        (line,) = [line for line in section("Commands").splitlines() if line.startswith(starts)]
        options = {param.opts[0] for param in root.get_command(None, name).params if not param.hidden} - {"--help"}
        assert {option for option in options if option not in line and option not in shared} == set(), name


def test_the_exit_codes_are_those_of_the_page_on_artifacts(llms):
    table = re.findall(r"^\| (\d+) \| ", (DOCS / "artifacts.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(code) for code in table] == sorted(llms.exit_codes())
    assert llms.exit_codes()[3].startswith("`data`. ")


def test_json_has_the_keys_that_are_said(llms, chain, cli):
    said = iter(llms.JSON.values())
    done = cli("clean", "-i", chain.root / "texts.jsonl", "-o", "corpus", "--json")
    again = cli("clean", "-i", chain.root / "texts.jsonl", "-o", "corpus", "--json")
    assert tuple(done.json) == tuple(again.json) == next(said)
    assert (done.json["status"], again.json["status"]) == ("done", "up to date")
    wrong = cli("clean", "-i", "nowhere", "-o", "other", "--json")
    assert tuple(wrong.json) == next(said)
    assert (wrong.code, wrong.json["exit_code"], wrong.json["kind"]) == (3, 3, "data")
    assert tuple(cli("clean", "-i", "corpus", "--dry-run", "--json").json) == next(said)
    assert tuple(cli("recipes", "list", "--json").json) == next(said)
    assert tuple(cli("summary", "corpus", "--json").json) == next(said)
    assert tuple(cli("lineage", "corpus", "--json").json) == next(said)
    assert tuple(cli("preflight", "-r", "clean=", "-i", "corpus", "--json").json) == next(said)
    assert tuple(cli("tidy", "corpus", "--json").json) == next(said)
    assert next(said, None) is None
