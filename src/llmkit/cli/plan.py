"""`llmkit plan`."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.core.errors import ConfigError
from llmkit.core.recipes import find_recipe, recipe_stage
from llmkit.stages import STAGES, load_stage

_HELP = {
    "recipe": "Recipe file, or the name of a shipped one.",
    "stage": "clean, tokenize, pretrain or finetune; by default the recipe's own, else pretrain.",
    "option": "The same as an option.",
    "input": "Raw text or corpus, of clean and tokenize; repeatable.",
    "data": "Tokens of pretrain, labelled rows of finetune; repeatable.",
    "model": "The model that a training starts from.",
    "lora": "Plan a LoRA adapter, of finetune: -s adapter=lora.",
}


def plan(
    what: Annotated[str | None, typer.Argument(metavar="STAGE", help=_HELP["stage"])] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", metavar="FILE|NAME", help=_HELP["recipe"])] = None,
    stage: Annotated[str | None, typer.Option("--stage", metavar="NAME", help=_HELP["option"])] = None,
    input: Annotated[list[str] | None, typer.Option("--input", "-i", metavar="PATH", help=_HELP["input"])] = None,
    data: Annotated[list[str] | None, typer.Option("--data", metavar="DIR", help=_HELP["data"])] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help=_HELP["model"])] = None,
    lora: Annotated[bool, typer.Option("--lora", help=_HELP["lora"])] = False,
    sets: Annotated[list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set a field.")] = None,
    nproc: Annotated[int, typer.Option("--nproc", min=1, metavar="N", help="Processes to plan for.")] = 1,
    json: o.Json = False,
) -> None:
    """Say what a run will take: of a training parameters, FLOPs, memory, time and disk; loads no weights."""
    from llmkit.core.console import Console

    if what is not None and stage is not None and what != stage:
        raise ConfigError(f"plan: {what} and --stage {stage} are two stages", hint=f"llmkit plan {what} ...")
    chosen = load_stage(what or stage or (recipe_stage(recipe, STAGES) if recipe else None) or "pretrain")
    path = find_recipe(recipe, chosen.name) if recipe else None
    base = {"path": model} if model and chosen.name == "pretrain" else model
    if lora and chosen.name != "finetune":
        raise ConfigError(f"plan: {chosen.name} has no --lora", hint="llmkit plan finetune --lora ...")
    options = {
        "adapter.type": ("--lora", "lora" if lora else None),
        "inputs": ("--input", input or None),
        "data": ("--data", data or None),
        "model": ("--model", base),
    }
    console = Console(json_mode=json)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is the result's, whatever a part prints
        config = chosen.resolve(recipe=path, sets=sets or (), options=options, absent=chosen.stand_ins).config
        chosen.check(config)
        found = chosen.plan(config, nproc)
    for warning in found.warnings:
        console.warn(warning)
    if json:
        console.print_json({"status": "done", "exit_code": 0, "stage": chosen.name, **found.values})
        return
    console.table(found.facts)
