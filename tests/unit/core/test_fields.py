from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from llmkit.cleaning.steps import Step
from llmkit.cleaning.steps.length import Length
from llmkit.cleaning.steps.normalize import Normalize
from llmkit.core.config import Config
from llmkit.core.fields import families_met, field_rows, summary
from llmkit.core.registry import Family
from llmkit.exporters import Exporter
from llmkit.exporters.safetensors import Safetensors
from llmkit.stages import clean, evaluate, export, finetune, pretrain, tokenize
from llmkit.tasks import Task


class Inner(Config):
    """A group."""

    depth: int = Field(1, ge=1)
    """How deep,
    in meters."""


class Loop(Config):
    """A group that holds itself."""

    children: list[Loop] = []


class Toy(Config):
    """A config with every kind of field.

    And a second paragraph.
    """

    name: str
    """Text."""
    place: Path = Path("here")
    """A path."""
    limit: int | None = Field(None, ge=1)
    """A limit."""
    share: float = Field(0.5, gt=0, lt=1)
    """A share."""
    flag: bool = False
    """A flag."""
    mode: Literal["a", "b"] = "a"
    """A mode."""
    either: int | Literal["auto"] = "auto"
    """A number or auto."""
    table: dict[str, int] = {}
    """Numbers."""
    anything: dict[str, Any] = {"x": [1, "二"]}
    """Anything."""
    words: list[Literal["x", "y"]] = ["x", "y"]
    """Words."""
    later: list[int] = Field(default_factory=lambda: [3])
    """Made by a factory."""
    derived: int = Field(default_factory=lambda values: len(values["name"]))
    """Depends on another field."""
    group: Inner = Inner(depth=7)
    """One group."""
    groups: list[Inner] = []
    """Several groups."""
    named: dict[str, Inner] = {}
    """Groups by name."""
    maybe: Inner | None = None
    """Perhaps a group."""
    exporter: Annotated[Exporter, Family("exporter")] = Safetensors()
    """A part."""
    perhaps: Annotated[Task, Family("task")] | None = None
    """Perhaps a part."""
    steps: list[Annotated[Step, Family("step")]] = [Normalize(), Length(min_chars=3)]
    """Parts."""


ROWS = {row.path: row for row in field_rows(Toy)}


@pytest.mark.parametrize(("path", "type_", "default", "description"), [
    ("name", "str", "required", "Text."),
    ("place", "path", '"here"', "A path."),
    ("limit", "int >= 1 | null", "null", "A limit."),
    ("share", "float > 0, < 1", "0.5", "A share."),
    ("flag", "bool", "false", "A flag."),
    ("mode", '"a" | "b"', '"a"', "A mode."),
    ("either", 'int | "auto"', '"auto"', "A number or auto."),
    ("table", "mapping of int", "{}", "Numbers."),
    ("anything", "mapping of any", '{"x": [1, "二"]}', "Anything."),
    ("words", 'list of ("x" | "y")', '["x", "y"]', "Words."),
    ("later", "list of int", "[3]", "Made by a factory."),
    ("derived", "int", "computed", "Depends on another field."),
    ("group", "group", "", "One group."),
    ("group.depth", "int >= 1", "7", "How deep, in meters."),
    ("groups", "list of group", "[]", "Several groups."),
    ("groups.N.depth", "int >= 1", "1", "How deep, in meters."),
    ("named", "mapping of group", "{}", "Groups by name."),
    ("named.KEY.depth", "int >= 1", "1", "How deep, in meters."),
    ("maybe", "group | null", "null", "Perhaps a group."),
    ("maybe.depth", "int >= 1", "1", "How deep, in meters."),
    ("exporter", "exporter", '"safetensors"', "A part."),
    ("perhaps", "task | null", "null", "Perhaps a part."),
    ("steps", "list of step", '["normalize", {"type": "length", "min_chars": 3}]', "Parts."),
])  # fmt: skip
def test_rows(path, type_, default, description):
    row = ROWS[path]
    assert (row.type, row.default, row.description) == (type_, default, description)


def test_rows_come_in_the_order_of_the_fields_and_end_at_parts():
    assert list(ROWS)[:5] == ["name", "place", "limit", "share", "flag"]
    assert list(ROWS)[-3:] == ["exporter", "perhaps", "steps"]
    named = {path: row.family.name for path, row in ROWS.items() if row.family is not None}
    assert named == {"exporter": "exporter", "perhaps": "task", "steps": "step"}


def test_a_group_that_holds_itself_ends():
    assert [row.path for row in field_rows(Loop)] == ["children"]


def test_families_are_met_once_those_of_members_included():
    # Tasks hold metrics, sources and objectives, which no field of the config names.
    found = [family.name for family in families_met([Toy, Toy])]
    assert found == ["document_objective", "exporter", "metric", "row", "source", "step", "task"]
    assert families_met([Inner]) == []


def test_summary_is_the_class_s_own_docstring():
    class Bare(Inner):
        pass

    assert summary(Toy) == "A config with every kind of field.\n\nAnd a second paragraph."
    assert summary(Bare) == ""


@pytest.mark.parametrize("module", [clean, tokenize, pretrain, finetune, evaluate, export])
def test_every_stage_field_has_a_type_and_a_meaning(module):
    parts = [family.load(name) for family in families_met([module.Config]) for name in family.members()]
    assert len(field_rows(module.Config)) >= 3
    for model in (module.Config, *parts):
        rows = field_rows(model)
        assert summary(model), model
        assert len(rows) == len({row.path for row in rows})
        for row in rows:
            assert row.description, row.path
            assert not re.search(r"<class|typing|\[|None", row.type), row


def test_cli_prints_the_fields_and_the_families_below(cli):
    outcome = cli("schema", "eval", "--fields")
    assert (outcome.code, outcome.err) == (0, "")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert lines[0] == "field type default meaning"
    assert lines[1].startswith("model str required Directory of the model to measure, ")
    (tasks,) = [line for line in lines if line.startswith("tasks ")]
    assert tasks.startswith("tasks list of task required What to measure; ")
    titles = [line.partition(":")[0] for line in lines if re.match(r"(task|metric) \w+(:|$)", line)]
    assert titles == [f"{name} {member}" for name in ("metric", "task") for member in Family(name).members()]
    start = lines.index(
        "task generation: Let the model answer each row's question and compare with the row's own answers."
    )
    whats = "What to measure on: an artifact, or whatever `clean` reads."
    assert f"data source required {whats}" in lines[start + 2 : start + 5]
    assert "max_new_tokens int >= 1 64 Longest answer." in lines[start:]
    assert outcome.out.count("metric rouge:") == 1


def test_cli_refuses_an_unknown_stage(cli):
    outcome = cli("schema", "claen", "--fields")
    assert (outcome.code, outcome.out) == (2, "")
    assert "error: unknown stage 'claen'; did you mean 'clean'?" in outcome.err
