"""`llmkit finetune`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("finetune", strict=True, resume=True, preview=True, nproc=True)
def finetune(
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="DIR|FILE", help="Labelled rows; repeatable."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="DIR|FILE.gguf|NAME", help="The model to start from.")
    ] = None,
    lora: Annotated[
        bool, typer.Option("--lora", help="Train a LoRA adapter beside the model: -s adapter=lora.")
    ] = False,
    epochs: Annotated[float | None, typer.Option("--epochs", help="Passes over the rows: -s max_epochs=N.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate: -s optimizer.lr=X.")] = None,
    max_steps: o.MaxSteps = None,
    seed: o.Seed = None,
) -> o.Named:
    """Train a model further on labelled rows."""
    return {
        "data": ("--data", data or None),
        "model": ("--model", model),
        "adapter.type": ("--lora", "lora" if lora else None),
        "max_epochs": ("--epochs", epochs),
        "optimizer.lr": ("--lr", lr),
        "max_steps": ("--max-steps", max_steps),
        "seed": ("--seed", seed),
    }
