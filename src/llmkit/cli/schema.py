"""`llmkit schema`."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING, Annotated

import typer

from llmkit.stages import STAGES, load_stage

if TYPE_CHECKING:
    from pydantic import BaseModel

    from llmkit.core.console import Console


def schema(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help=", ".join(STAGES))],
    fields: Annotated[bool, typer.Option("--fields", help="A table of fields instead of JSON Schema.")] = False,
) -> None:
    """Print the JSON Schema of a stage's recipe, for editors and checks."""
    from llmkit.core.config import json_schema
    from llmkit.core.console import Console

    config = load_stage(stage).config
    if fields:
        print_fields(config, Console())
    else:
        typer.echo(jsonlib.dumps(json_schema(config), indent=2, ensure_ascii=False))


def print_fields(config: type[BaseModel], console: Console) -> None:
    """Print a config's fields and, below, the members of every family that a field names."""
    from llmkit.core.fields import families_met, summary

    _print_table(config, console)
    for family in families_met([config]):
        for member in family.members():
            part = family.load(member)
            console.print()
            console.table([(f"{family.name} {member}: {summary(part).splitlines()[0]}",)])
            _print_table(part, console)


def _print_table(model: type[BaseModel], console: Console) -> None:
    from llmkit.core.fields import field_rows

    rows = [(row.path, row.type, row.default, row.description) for row in field_rows(model)]
    if rows:
        console.table(rows, headers=("field", "type", "default", "meaning"))
