"""`llmkit clean`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("clean", strict=True, resume=True, preview=True)
def clean(
    input: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="PATH|SOURCE", help="File, directory, glob or source name; repeatable."),
    ] = None,
    workers: o.Workers = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="local|ray", help="Local processes, or a Ray cluster.")
    ] = None,
) -> o.Named:
    """Turn raw text into a corpus, with every dropped document explained."""
    return {"inputs": ("--input", input or None), "workers": ("--workers", workers), "engine": ("--engine", engine)}
