from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from llmkit.cleaning.steps import Step
from llmkit.cleaning.steps.length import Length
from llmkit.core.config import Config
from llmkit.core.fields import field_table
from llmkit.core.registry import Family
from llmkit.exporters import Exporter
from llmkit.exporters.safetensors import Safetensors
from llmkit.stages import clean, evaluate, export, finetune, pretrain, tokenize


class Inner(Config):
    """A group."""

    depth: int = 1
    """How deep,
    in meters."""


class Toy(Config):
    """A config with every kind of field."""

    name: str
    """Text."""
    limit: int | None = None
    """A limit."""
    rate: float = 0.5
    """A rate."""
    flag: bool = False
    """A flag."""
    mode: Literal["a", "b"] = "a"
    """A mode."""
    either: int | Literal["auto"] = "auto"
    """A number or auto."""
    table: dict[str, int] = {}
    """Numbers."""
    words: list[str] = Field(["x", "y"])
    """Words."""
    group: Inner = Inner()
    """One group."""
    groups: list[Inner] = []
    """Several groups."""
    maybe: Inner | None = None
    """Perhaps a group."""
    exporter: Annotated[Exporter, Family("exporter")] = Safetensors()
    """A part."""
    steps: list[Annotated[Step, Family("step")]] = [Length(min_chars=3)]
    """Parts."""


ROWS = {row.path: (row.type, row.default, row.description) for row in field_table(Toy)}


@pytest.mark.parametrize(
    ("path", "row"),
    [
        ("name", ("string", "required", "Text.")),
        ("limit", ("integer or null", "null", "A limit.")),
        ("rate", ("number", "0.5", "A rate.")),
        ("flag", ("true or false", "false", "A flag.")),
        ("mode", ("'a' or 'b'", "a", "A mode.")),
        ("either", ("integer or 'auto'", "auto", "A number or auto.")),
        ("table", ("mapping", "{}", "Numbers.")),
        ("words", ("list of string", "[x, y]", "Words.")),
        ("group", ("group", "", "One group.")),
        ("group.depth", ("integer", "1", "How deep, in meters.")),
        ("groups", ("list of group", "[]", "Several groups.")),
        ("groups.N.depth", ("integer", "1", "How deep, in meters.")),
        ("maybe", ("group or null", "null", "Perhaps a group.")),
        ("maybe.depth", ("integer", "1", "How deep, in meters.")),
        ("exporter", ("exporter", "safetensors", "A part.")),
        ("steps", ("list of step", "[length]", "Parts.")),
        ("steps.N[length].max_chars", ("integer or null", "null")),
    ],
)
def test_rows(path, row):
    assert ROWS[path][: len(row)] == row


def test_members_of_families_are_listed():
    for member in Family("step").members():
        kind, default, summary = ROWS[f"steps.N.type={member}"]
        assert (kind, default) == ("step", "")
        assert summary.endswith(".")
    assert ROWS["exporter.type=safetensors"][0] == "exporter"
    assert "exporter[safetensors].dtype" in ROWS


@pytest.mark.parametrize("module", [clean, tokenize, pretrain, finetune, evaluate, export])
def test_every_stage_field_has_a_type_and_a_meaning(module):
    rows = field_table(module.Config)
    assert len(rows) == len({row.path for row in rows}) >= 4
    for row in rows:
        assert row.description, row.path
        assert "<class" not in row.type, row
        assert "typing." not in row.type, row


def test_cli_prints_the_table(cli):
    outcome = cli("schema", "clean", "--fields")
    assert outcome.code == 0
    assert "steps.N[length].min_chars" in outcome.out
    outcome = cli("schema", "claen")
    assert outcome.code == 2
    assert "unknown stage 'claen'; did you mean 'clean'?" in outcome.err
