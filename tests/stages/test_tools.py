"""The commands around the stages: init, recipes, schema, lineage, summary, doctor, --version, --help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import llmkit
from llmkit.core.extras import EXTRAS
from llmkit.core.manifest import read_manifest
from llmkit.core.recipes import shipped_recipes

STAGES = ("clean", "tokenize", "pretrain", "finetune", "eval", "export", "predict")
TOOLS = ("init", "recipes", "schema", "plan", "preflight", "summary", "lineage", "tidy", "doctor")


def test_version(cli):
    outcome = cli("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"llmkit {llmkit.__version__}\n", "")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command(cli, flag):
    outcome = cli(flag)
    assert outcome.code == 0
    for name in (*STAGES, *TOOLS):
        assert f" {name} " in outcome.out


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_the_shared_options(cli, stage):
    outcome = cli(stage, "--help")
    assert outcome.code == 0
    for option in ("--recipe", "--set", "--output", "--force", "--dry-run", "--json", "--quiet", "--verbose"):
        assert option in outcome.out


@pytest.mark.parametrize(("command", "usage", "argument"), [
    (["compare"], "Usage: llmkit compare [OPTIONS] RUN...", "  RUN...  Finished evaluations."),
    (["predict"], "Usage: llmkit predict [OPTIONS] [MODEL]", "  MODEL  The model's directory."),
    (["recipes", "show"], "Usage: llmkit recipes show [OPTIONS] NAME", "  NAME  Name from"),
])  # fmt: skip
def test_arguments_stand_in_the_help_by_their_names_alone(cli, command, usage, argument):
    lines = cli(*command, "--help").out.splitlines()
    assert lines[0] == usage
    assert any(line.startswith(argument) for line in lines)


@pytest.mark.parametrize("arguments", [[], ["recipes"]])
def test_no_command_shows_the_help_and_fails(cli, arguments):
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert "Usage: llmkit" in outcome.out


def test_init_copies_the_quickstart(cli):
    outcome = cli("init", "project")
    assert outcome.code == 0
    assert "next: make -C project" in outcome.out
    source = shipped_recipes() / "quickstart"
    copied = {path.name: path.read_bytes() for path in Path("project").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in source.iterdir()}
    assert {"Makefile", "clean.yaml", "pretrain.yaml"} <= set(copied)


def test_init_takes_an_empty_folder_and_refuses_a_full_one(cli):
    Path("empty").mkdir()
    assert cli("init", "empty", "--json").json["files"][0] == "Makefile"
    Path("empty/Makefile").write_text("mine", encoding="utf-8")
    outcome = cli("init", "empty")
    assert outcome.code == 2
    assert "error: empty exists and is not empty" in outcome.err
    assert Path("empty/Makefile").read_text(encoding="utf-8") == "mine"
    outcome = cli("init", "empty/Makefile")
    assert (outcome.code, "exists and is not empty" in outcome.err) == (2, True)


def test_recipes_lists_every_shipped_recipe_with_its_purpose(cli):
    found = cli("recipes", "list", "--json").json["recipes"]
    root = shipped_recipes()
    assert set(found) == {path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml")}
    assert all(text and not text.startswith("yaml-language-server") for text in found.values())
    text = cli("recipes", "list").out
    assert all(f"{name} " in text for name in found)
    assert [name for name, text in found.items() if not text.endswith(".")] == ["clean/classic"]
    assert found["clean/english"] == (
        "English prose of any layout: books, speeches, mail, manuals, dialogues, verse, forums, articles, Markdown;"
        " hard-wrapped or a line a paragraph."
    )


def test_recipes_show_prints_the_file(cli):
    outcome = cli("recipes", "show", "quickstart/clean")
    assert outcome.code == 0
    assert outcome.out == (shipped_recipes() / "quickstart/clean.yaml").read_text(encoding="utf-8")
    wrong = cli("recipes", "show", "quickstart/claen")
    assert wrong.code == 2
    assert "error: no recipe 'quickstart/claen'; did you mean 'quickstart/clean'?" in wrong.err
    assert "llmkit recipes list" in wrong.err


@pytest.mark.parametrize("stage", STAGES)
def test_schema_is_a_json_schema_of_the_stage(cli, stage):
    outcome = cli("schema", stage)
    assert outcome.code == 0
    schema = json.loads(outcome.out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    fields = cli("schema", stage, "--fields").out
    for name, field in schema["properties"].items():
        # A group whose own docstring says the same has its words at the definition alone.
        definition = schema.get("$defs", {}).get(field.get("$ref", "").rpartition("/")[2], {})
        assert field.get("description") or definition.get("description"), name
        assert any(line.startswith(name) for line in fields.splitlines()), name


def test_schema_of_an_unknown_stage(cli):
    outcome = cli("schema", "pretrian")
    assert outcome.code == 2
    assert "error: unknown stage 'pretrian'; did you mean 'pretrain'?" in outcome.err


def test_lineage_draws_the_tree(cli, chain, monkeypatch):
    monkeypatch.chdir(chain.root)
    outcome = cli("lineage", "model")
    ids = {name: read_manifest(chain.root / name).id[:12] for name in ("model", "pairs", "base", "tokens", "corpus")}
    sizes = {name: (chain.root / name).stat().st_size / 1e6 for name in ("pairs.jsonl", "texts.jsonl")}
    assert outcome.out.splitlines() == [
        f"model (model {ids['model']}, by finetune)",
        f"├── data: pairs (examples {ids['pairs']}, by clean)",
        f"│   └── files: pairs.jsonl (1 raw file, {sizes['pairs.jsonl']:.1f} MB)",
        f"└── model: base (model {ids['base']}, by pretrain)",
        f"    └── data: tokens (tokens {ids['tokens']}, by tokenize)",
        f"        └── inputs: corpus (corpus {ids['corpus']}, by clean)",
        f"            └── files: texts.jsonl (1 raw file, {sizes['texts.jsonl']:.1f} MB)",
    ]


def test_lineage_verify_finds_what_changed(cli, jsonl):
    path = jsonl("a.jsonl", ["one", "two"])
    cli("clean", "-i", path, "-o", "corpus")
    assert "verified: 2 nodes, nothing has changed" in cli("lineage", "corpus", "--verify").out
    path.write_text(path.read_text(encoding="utf-8").replace("one", "won"), encoding="utf-8")
    assert cli("lineage", "corpus").code == 0
    outcome = cli("lineage", "corpus", "--verify")
    assert outcome.code == 7
    assert "error: lineage has drifted:" in outcome.err
    assert f"{path} has changed" in outcome.err
    as_json = cli("lineage", "corpus", "--verify", "--json")
    assert (as_json.code, as_json.json["exit_code"], as_json.json["kind"]) == (7, 7, "check")


@pytest.mark.parametrize("command", ["lineage", "summary"])
def test_only_artifacts_have_a_lineage(cli, command):
    Path("folder").mkdir()
    outcome = cli(command, "folder")
    assert outcome.code == 3
    assert "error: folder is not an llmkit artifact (it has no llmkit.json)" in outcome.err
    missing = cli(command, "foldre")
    assert missing.code == 3
    assert "no such file or directory: foldre; did you mean 'folder'?" in missing.err


@pytest.mark.parametrize("command", ["summary", "lineage"])
def test_an_unfinished_artifact_is_named_as_such(cli, command):
    Path("half/.partial").mkdir(parents=True)
    outcome = cli(command, "half")
    assert outcome.code == 3
    assert outcome.err == "error: half is unfinished\n  -> run the command that writes it again: it goes on\n"


def test_summary_shows_every_stage_once_inputs_first(cli, chain):
    found = cli("summary", chain.model, chain.base, "--json").json["stages"]
    assert [stage["stage"] for stage in found] == ["clean", "clean", "tokenize", "pretrain", "finetune"]
    assert found[-1]["metrics"] == read_manifest(chain.model).metrics
    text = cli("summary", chain.model).out
    assert text.index("clean: ") < text.index("tokenize: ") < text.index("pretrain: ") < text.index("finetune: ")
    assert text.index("finetune: ") < text.index("lineage")


def test_doctor_knows_versions_machine_and_extras(cli):
    report = cli("doctor", "--json").json
    assert report["exit_code"] == 0
    assert report["versions"]["llmkit"] == llmkit.__version__
    assert {"torch", "transformers", "accelerate", "evaluate"} <= set(report["versions"])
    assert report["machine"]["cores"] >= 1
    for extra in EXTRAS:
        assert report["extras"][extra].startswith(("installed: ", "missing: "))
    text = cli("doctor").out
    assert [line for line in text.splitlines() if not line.startswith(" ")] == [
        "versions",
        "machine",
        "accelerators",
        "extras",
    ]


def test_a_reader_that_has_enough_is_no_error():
    command = f"set -o pipefail; {sys.executable} -m llmkit schema clean --fields | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("field")
    assert done.stderr == ""
