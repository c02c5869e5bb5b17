"""What the pages show stays true: commands have their options, example members work, recipes name their schemas."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import sqlite3
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml

from llmkit.cleaning.exchange import save_array
from llmkit.cleaning.steps import Drop
from llmkit.cleaning.survey import Survey
from llmkit.cli.main import app
from llmkit.core.config import resolve
from llmkit.core.registry import PACKAGES, Family, Part
from llmkit.data import rows
from llmkit.data.artifacts import Examples
from llmkit.data.chat import CONVERSATION
from llmkit.data.corpus import Document, document_id
from llmkit.data.packing import IGNORED
from llmkit.data.sources import Broken, _formats
from llmkit.data.sources.files import Files
from llmkit.objectives import Objective
from llmkit.objectives import rows as objectives
from llmkit.stages import STAGES
from llmkit.stages.clean import Config
from llmkit.work.engine import Engine
from tiny import byte_tokenizer

ROOT = Path(__file__).resolve().parents[3]
PAGES = [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/stages/*.md")), ROOT / "CONTRIBUTING.md"]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, code) of every fenced block in one language."""
    return [(page.name, code) for page in PAGES for kind, code in FENCED.findall(page.read_text()) if kind == language]


SHELL_LINES = [line for _, code in blocks("sh") for line in code.replace("\\\n", " ").splitlines()]
COMMANDS = sorted({line for line in SHELL_LINES if line.startswith("llmkit ")})
MODULES = [(page, code) for page, code in blocks("python") if code.startswith('"""') and page != "own-parts.md"]
MEMBERS = [(page, code) for page, code in MODULES if "\nFORMAT = " not in code]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_has_the_options_it_is_shown_with(line):
    command = typer.main.get_command(app)
    words = shlex.split(line, comments=True)[1:]
    while hasattr(command, "list_commands"):
        command = command.get_command(None, words.pop(0))
        assert command is not None
    stages = typer.main.get_command(app).commands
    # Behind an -r stand the options of that recipe's own stage.
    read = [command, *(stages[name] for name in STAGES if command.name == "preflight")]
    options = {name for one in read for param in one.params for name in param.opts}
    assert {word for word in words if word.startswith("-")} <= options
    if len(read) == 1 and any(param.name == "output" for param in command.params):
        assert {"-o", "--dry-run", "--preview", "--show", "--compare"} & set(words)


def test_there_are_commands_and_examples_to_check():
    assert len(COMMANDS) >= 20
    assert sorted(page for page, _ in MODULES) == [
        *["CONTRIBUTING.md"] * 13, *["clean-extend.md"] * 5,
        "eval-own.md", "export.md", "finetune.md", "heads.md", "rows.md",
    ]  # fmt: skip
    assert len(MODULES) == len(MEMBERS) + 1


def run_module(code: str) -> types.ModuleType:
    """Run a module as the page has it."""
    module = types.ModuleType("shown_member")
    sys.modules[module.__name__] = module  # pydantic looks a model's annotations up there
    try:
        exec(compile(code, "page", "exec"), vars(module))
    finally:
        del sys.modules[module.__name__]
    return module


def member(code: str) -> type[Part]:
    """Run a module as the page has it and return its one part."""
    module = run_module(code)
    (part,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Part) and value.__module__ == module.__name__
    ]
    return part


def never_called(part: type[Part]) -> set[str]:
    """Return the methods that an objective need not have, since nothing calls them."""
    if not issubclass(part, Objective):
        return set()
    whole_loss = part.loss is not Objective.loss and not part.couples
    return ({"outputs", "loss_of"} if whole_loss else set()) | (set() if part.measured else {"answers", "measures"})


@pytest.mark.parametrize(
    "code", [code for _, code in MEMBERS], ids=[f"{i}-{page}" for i, (page, _) in enumerate(MEMBERS)]
)
def test_an_example_fills_in_what_its_family_leaves_open(code):
    part = member(code)
    base = next(base for base in part.__mro__[1:] if base.__module__ in PACKAGES.values())
    assert part.__doc__ != base.__doc__
    open_methods = {
        name
        for cls in part.__mro__
        for name, value in vars(cls).items()
        if isinstance(value, types.FunctionType) and "NotImplementedError" in value.__code__.co_names
    }
    missing = {name for name in open_methods if "NotImplementedError" in getattr(part, name).__code__.co_names}
    assert missing == never_called(part)


def shown(name: str) -> str:
    """Return the shown module that defines a class."""
    (code,) = [code for _, code in MODULES if f"class {name}(" in code]
    return code


def document(text: str, row: int = 0, **meta: str) -> Document:
    return Document(document_id("x", "x.jsonl", row, text), text, "x", meta=meta)


def test_the_example_step_drops_what_it_says():
    step = member(shown("Letters"))(min_share=0.6)
    assert step.apply(document("abc de 12")) is None  # 5 letters of 7
    assert step.apply(document("ab 12")) == Drop("letters.min_share", 0.5, 0.6)
    assert step.apply(document("渡船九点开。")) is None  # 5 letters of 6


def test_the_example_rewrite_joins_lines_and_counts_them():
    step = member(shown("Unwrap"))(min_lines=2)
    wrapped = document("the ferry\nleaves,\nat nine.\nWe wait.")
    assert step.apply(wrapped) is None
    assert (wrapped.text, wrapped.counts) == ("the ferry leaves, at nine.\nWe wait.", {"unwrap.lines": 2})
    text = "one\nline"
    assert step.rewrite(text, document(text)) is text


def test_the_example_global_step_keeps_the_smallest_id(tmp_path):
    step = member(shown("OnePerUrl"))()
    documents = [document("a", 0, url="u"), document("b", 1, url="v"), document("c", 2, url="u"), document("d", 3)]
    survey = Survey(tmp_path / "step", tmp_path / "ids", num_tasks=1, num_buckets=2)
    survey.ids.mkdir()
    recorder = step.recorder()
    for row, one in enumerate(documents):
        recorder.add(row, one)
    survey.record(0, recorder.tables())
    ids = b"".join(bytes.fromhex(one.id) for one in documents)
    save_array(survey.ids_path(0), np.frombuffer(ids, np.uint8).reshape(-1, 16))
    assert step.decide(survey, Engine(workers=1)) == {"addresses with copies": 1}
    kept, falls = sorted((0, 2), key=lambda row: documents[row].id)
    verdicts = survey.verdicts_by_row(0)
    assert list(verdicts) == [falls]
    assert step.act(documents[falls], verdicts[falls]) == Drop(
        "one_per_url", f"same address as {documents[kept].id}", "smallest id stays"
    )


def test_the_example_format_is_read_compressed_as_well(tmp_path, monkeypatch):
    form = run_module(shown("Subtitles")).FORMAT
    found = {**_formats.formats(), ".srt": form}
    monkeypatch.setattr(_formats, "formats", lambda: found)
    said = "1\n00:01,000 --> 00:02,000\nThe ferry\nleaves.\n\n2\n00:03,000 --> 00:04,000\n九点。\n".replace(
        "\n", "\r\n"
    )
    (tmp_path / "a.srt").write_bytes(said.encode())
    (tmp_path / "b.srt.gz").write_bytes(gzip.compress(said.encode()))
    source = Files(path=str(tmp_path))
    records = [record for file in source.files() for record in source.read(file)]
    assert [(record.text, record.source, record.meta["subtitles"]) for record in records] == [
        ("The ferry leaves.\n九点。", "a", 2), ("The ferry leaves.\n九点。", "b", 2),
    ]  # fmt: skip


def test_the_example_source_reads_its_rows(tmp_path):
    path = tmp_path / "notes.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE notes (text)")
        connection.executemany("INSERT INTO notes VALUES (?)", [("The ferry leaves.",), (None,), ("九点。",)])
    connection.close()
    source = member(shown("Sqlite"))(path=str(path), table="notes")
    first, second, third = source.read(source.files()[0])
    assert (first.text, third.row, third.text) == ("The ferry leaves.", 2, "九点。")
    assert second == Broken(1, "text is no text")


def test_the_example_row_is_one_file(tmp_path, monkeypatch, cli):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "multiple_choice.py").write_text(shown("MultipleChoice"))
    monkeypatch.setattr(rows, "__path__", [*rows.__path__, str(tmp_path / "rows")])
    quiz = [
        {"question": "2 + 2? ", "options": ["3", "4 "], "answer": 1},
        {"question": "2 + 2?", "options": ["3"], "answer": 1},
    ]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in quiz))
    try:
        for source, out in (("quiz.jsonl", "first"), ("first", "second")):
            outcome = cli("clean", "-i", source, "--row", "auto", "-o", out, "--max-failed", 0.9)
            assert outcome.code == 0, outcome.err
        kept = list(Examples(Path("second")).rows())
    finally:
        sys.modules.pop("llmkit.data.rows.multiple_choice", None)
        vars(rows).pop("multiple_choice", None)
    assert [(row["text"], row["question"], row["choices"], row["answer"]) for row in kept] == [
        ("2 + 2?\n3\n4", "2 + 2?", ["3", "4"], 1)
    ]


def test_the_example_objective_is_one_file_and_learns_every_token(chain, cli, tmp_path, monkeypatch):
    tokenizer = byte_tokenizer()
    turns = [{"role": "user", "content": "渡船?"}, {"role": "assistant", "content": "At nine."}]
    objective = member(shown("WholeChat"))()
    row, kind = {"messages": turns}, CONVERSATION
    (whole,) = objective.encode([row], kind, tokenizer, 1000)
    text = "<|bos|><|im_start|>user\n渡船?<|im_end|>\n<|im_start|>assistant\nAt nine.<|im_end|>\n"
    assert tokenizer.decode(whole.columns["input_ids"]) == text
    assert whole.columns["labels"].tolist() == [*whole.columns["input_ids"][1:], IGNORED]
    assert (whole.targets, whole.num_bytes, whole.cut) == (len(whole.columns["labels"]) - 1, 7 + 1 + 8, False)
    (cut,) = objective.encode([row], kind, tokenizer, 3)
    assert (tokenizer.decode(cut.columns["input_ids"]), cut.targets, cut.cut) == ("<|bos|><|im_start|>u", 2, True)
    (tmp_path / "objectives").mkdir()
    (tmp_path / "objectives" / "whole_chat.py").write_text(shown("WholeChat"))
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(tmp_path / "objectives")])
    try:
        outcome = cli(
            "finetune", "--data", chain.pairs, "--model", chain.base, "-s", "objective=whole_chat", "--max-steps", 1,
            "-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32", "-o", "out", "--json",
        )  # fmt: skip
    finally:
        sys.modules.pop("llmkit.objectives.rows.whole_chat", None)
        vars(objectives).pop("whole_chat", None)
    assert outcome.code == 0, outcome.err
    assert outcome.json["metrics"]["target"] == "tokens"


def test_the_table_of_kinds_of_rows_has_them_all():
    lines = [line for line in (ROOT / "docs" / "rows.md").read_text().splitlines() if line.startswith("| `")][1:]
    table = {line.split("|")[1].strip(" `"): re.findall(r"`(\w+)`", line.split("|")[2]) for line in lines}
    assert sorted(table) == Family("row").members()
    for name, fields in table.items():
        assert [field for field in fields if field in Family("row").load(name).aliases] == list(
            Family("row").load(name).aliases
        )


def test_the_table_of_steps_has_them_all():
    rows = [line for line in (ROOT / "docs" / "clean-steps.md").read_text().splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall("`(\\w+)`", row.split("|")[1])}
    assert named == set(Family("step").members())
    fields = {field for name in named for field in Family("step").load(name).model_fields}
    assert {name for row in rows for name in re.findall("`(\\w+)`", row.split("|")[3])} <= fields


RECIPES = [code for page, code in blocks("yaml") if page.startswith("clean") and code.startswith("inputs:")]


@pytest.mark.parametrize("code", RECIPES)
def test_a_shown_recipe_is_one(code, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(code)
    assert len(resolve(Config, recipe=path).config.steps) == code.count("\n  - ")


def test_there_are_recipes_to_check():
    assert len(RECIPES) == 3


def test_shown_extras_and_benchmarks_are_there():
    code = "".join(code for _, code in blocks("sh"))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"llmkit\[([\w-]+)\]", code)) == set(extras)
    scripts = set(re.findall(r"python (benchmarks/\w+\.py)", code))
    assert len(scripts) >= 4
    assert all((ROOT / script).is_file() for script in scripts)


def test_every_recipe_names_the_schema_of_its_stage():
    recipes = sorted(ROOT.glob("recipes/**/*.yaml"))
    assert len(recipes) > 10
    for recipe in recipes:
        line = recipe.read_text().splitlines()[0]
        schema = (recipe.parent / line.partition("$schema=")[2]).resolve()
        assert schema.parent == ROOT / "docs" / "reference" / "schema", recipe
        assert yaml.safe_load(recipe.read_text()).keys() <= json.loads(schema.read_text())["properties"].keys(), recipe
