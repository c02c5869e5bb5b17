"""`llmkit export`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("export")
def export(
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="The model to export.")] = None,
) -> o.Named:
    """Write a model for a runtime and prove that it answers the same."""
    return {"model": ("--model", model)}
