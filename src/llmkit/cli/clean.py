"""`llmkit clean`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.cli.run import StageOptions, run_stage


def clean(
    recipe: o.Recipe = None,
    input: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="PATH|SOURCE", help="File, directory, glob or source name; repeatable."),
    ] = None,
    workers: o.Workers = None,
    output: o.Output = None,
    sets: o.Sets = None,
    force: o.Force = False,
    strict: o.Strict = False,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Turn raw text into a corpus, with every dropped document explained."""
    options = StageOptions(
        recipe=recipe,
        sets=sets,
        output=output,
        force=force,
        dry_run=dry_run,
        json=json,
        quiet=quiet,
        verbose=verbose,
        strict=strict,
    )
    run_stage("clean", options, {"inputs": ("--input", input or None), "workers": ("--workers", workers)})
