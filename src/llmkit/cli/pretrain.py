"""`llmkit pretrain`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("pretrain", resume=True)
def pretrain(
    data: Annotated[list[str] | None, typer.Option("--data", metavar="DIR", help="Token artifact; repeatable.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="Go on training this model.")] = None,
    max_steps: o.MaxSteps = None,
    seed: o.Seed = None,
) -> o.Named:
    """Train a language model from scratch, or onward, on tokens."""
    return {
        "data": ("--data", data or None),
        "model.path": ("--model", model),
        "max_steps": ("--max-steps", max_steps),
        "seed": ("--seed", seed),
    }
