"""`llmkit export`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("export")
def export(
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="The model to export.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="What to write: an exporter with its defaults.")
    ] = None,
    unproven: Annotated[
        bool, typer.Option("--unproven", help="Write it even if nothing here can prove it; exit code 7.")
    ] = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read pickled weights, as tensors alone.")
    ] = False,
) -> o.Named:
    """Write a model for a runtime and prove that it answers the same."""
    return {
        "model": ("--model", model),
        "exporter": ("--format", format_),
        "unproven": ("--unproven", unproven or None),
        "allow_pickle": ("--allow-pickle", allow_pickle or None),
    }
