"""`llmkit eval`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.cli.run import StageOptions, run_stage


def evaluate(
    recipe: o.Recipe = None,
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="The model to measure.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", metavar="DIR", help="A model to compare with.")] = None,
    output: o.Output = None,
    sets: o.Sets = None,
    force: o.Force = False,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Measure a model: likelihood on held-out text, and generated answers."""
    options = StageOptions(
        recipe=recipe, sets=sets, output=output, force=force, dry_run=dry_run, json=json, quiet=quiet, verbose=verbose
    )
    run_stage("eval", options, {"model": ("--model", model), "baseline": ("--baseline", baseline)})
