"""`llmkit pretrain`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("pretrain", resume=True, nproc=True)
def pretrain(
    data: Annotated[list[str] | None, typer.Option("--data", metavar="DIR", help="Token artifact; repeatable.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="Go on training this model.")] = None,
    init_from: Annotated[
        str | None, typer.Option("--init-from", metavar="DIR", help="Weights that a new model starts from.")
    ] = None,
    max_steps: o.MaxSteps = None,
    seed: o.Seed = None,
    verify_packing: Annotated[
        bool, typer.Option("--verify-packing", help="Measure that documents in a block do not see each other.")
    ] = False,
) -> o.Named:
    """Train a language model from scratch, or onward, on tokens."""
    return {
        "data": ("--data", data or None),
        "model": ("--model", model and {"path": model}),
        "init_from": ("--init-from", init_from),
        "verify_packing": ("--verify-packing", verify_packing or None),
        "max_steps": ("--max-steps", max_steps),
        "seed": ("--seed", seed),
    }
