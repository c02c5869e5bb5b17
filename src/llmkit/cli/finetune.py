"""`llmkit finetune`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.cli.run import StageOptions, run_stage


def finetune(
    recipe: o.Recipe = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", metavar="DIR", help="Examples artifact; repeatable.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="The model to start from.")] = None,
    max_steps: o.MaxSteps = None,
    seed: o.Seed = None,
    output: o.Output = None,
    sets: o.Sets = None,
    resume: o.Resume = "auto",
    force: o.Force = False,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Train a model further on chat messages."""
    options = StageOptions(
        recipe=recipe,
        sets=sets,
        output=output,
        force=force,
        dry_run=dry_run,
        json=json,
        quiet=quiet,
        verbose=verbose,
        resume=resume,
    )
    run_stage(
        "finetune",
        options,
        {
            "data": ("--data", data or None),
            "model": ("--model", model),
            "max_steps": ("--max-steps", max_steps),
            "seed": ("--seed", seed),
        },
    )
