"""`llmkit eval`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("eval")
def evaluate(
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="The model to measure.")] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="DIR", help="A model, or a finished evaluation, to compare with."),
    ] = None,
    max_regression: Annotated[
        float | None,
        typer.Option("--max-regression", min=0, metavar="SHARE", help="Exit 7 where a score is worse by more than it."),
    ] = None,
) -> o.Named:
    """Measure a model: likelihood on held-out text, and generated answers."""
    return {
        "model": ("--model", model),
        "baseline": ("--baseline", baseline),
        "max_regression": ("--max-regression", max_regression),
    }
