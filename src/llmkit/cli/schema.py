"""`llmkit schema`."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated

import typer

from llmkit.cli.run import STAGES, stage_module
from llmkit.core.config import json_schema
from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, nearest
from llmkit.core.fields import field_table


def schema(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help=", ".join(STAGES))],
    fields: Annotated[bool, typer.Option("--fields", help="A table of fields instead of JSON Schema.")] = False,
) -> None:
    """Print the JSON Schema of a stage's recipe, for editors and checks."""
    if stage not in STAGES:
        raise ConfigError(f"unknown stage '{stage}'{nearest(stage, STAGES)}")
    config = stage_module(stage).Config
    console = Console()
    if fields:
        rows = [(row.path, row.type, row.default, row.description) for row in field_table(config)]
        console.table(rows, headers=("field", "type", "default", "meaning"))
    else:
        typer.echo(jsonlib.dumps(json_schema(config), indent=2, ensure_ascii=False))
