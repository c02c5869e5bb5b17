"""`llmkit pretrain`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.cli.run import StageOptions, run_stage


def pretrain(
    recipe: o.Recipe = None,
    data: Annotated[list[str] | None, typer.Option("--data", metavar="DIR", help="Token artifact; repeatable.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="Go on training this model.")] = None,
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
    """Train a language model from scratch, or onward, on tokens."""
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
        "pretrain",
        options,
        {
            "data": ("--data", data or None),
            "model.path": ("--model", model),
            "max_steps": ("--max-steps", max_steps),
            "seed": ("--seed", seed),
        },
    )
