"""`llmkit plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmkit.cli import options as o
from llmkit.core.config import resolve
from llmkit.core.console import Console
from llmkit.core.progress import clock
from llmkit.core.recipes import find_recipe

if TYPE_CHECKING:
    from llmkit.training.plan import Plan


def plan(
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", metavar="FILE|NAME", help="Recipe of pretrain.")
    ] = None,
    data: Annotated[list[str] | None, typer.Option("--data", metavar="DIR", help="Token artifact; repeatable.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set a field.")] = None,
    nproc: Annotated[int, typer.Option("--nproc", min=1, metavar="N", help="Processes to plan for.")] = 1,
    json: o.Json = False,
) -> None:
    """Say what a pretraining run will take: parameters, FLOPs, memory, time and disk; loads no weights."""
    from llmkit.stages.pretrain import Config
    from llmkit.training.plan import plan as work_out

    # A model may be planned before there is data; the recipe's own, if it has one, wins over the stand-in.
    given = data or (None if recipe else ["no-data"])
    path = find_recipe(recipe, "pretrain") if recipe else None
    config = resolve(Config, recipe=path, sets=sets or (), options={"data": ("--data", given)}).config
    found = work_out(config, config.model, [str(item) for item in config.data], config.objective.auto_class, nproc)
    console = Console(json_mode=json)
    if json:
        console.print_json({"status": "done", "exit_code": 0, **found.as_json()})
        return
    console.table(_rows(found))
    if found.memory.total > found.memory_limit:
        console.warn("a step does not fit into memory: lower micro_batch_tokens")


def _rows(found: Plan) -> list[tuple[str, str]]:
    memory = [(f"  {name}", f"{size / 1e9:.2f} GB") for name, size in vars(found.memory).items()]
    rows = [
        ("parameters", f"{found.parameters:,}: embedding {found.embedding:,}, body {found.body:,}"),
        ("", f"{found.arch}, vocabulary {found.vocab_size:,}"),
    ]
    if found.tokens is None or found.steps is None or found.seconds is None or found.tokens_per_parameter is None:
        rows.append(("tokens", "unknown: the data is not there yet and the recipe counts in epochs"))
    else:
        epochs = "" if found.epochs is None else f", {found.epochs:.2f} epochs of {found.tokens_per_epoch:,} tokens"
        rows.append(("tokens", f"{found.tokens:,} in {found.steps:,} steps{epochs}"))
        ratio = (
            f"{found.tokens_per_parameter:.1f} tokens per parameter (20 is compute-optimal: {20 * found.parameters:,})"
        )
        rows += [("", ratio), ("FLOPs", f"{found.flops:.3g}, {found.flops_per_token:.3g} per token")]
        rate = f"{found.flops_per_second / 1e9:,.0f} GFLOP/s of matrix products"
        rows.append(("time", f"{clock(found.seconds)} at {rate} in {found.precision}, without validation"))
    total = f"{found.memory.total / 1e9:.2f} GB per process of {found.memory_limit / 1e9:.2f}"
    rows += [("memory", f"{total}, {found.micro_batch_tokens:,} tokens at a time"), *memory]
    return [*rows, ("disk", f"{found.disk / 1e9:.2f} GB at most, {found.checkpoint / 1e9:.2f} a checkpoint")]
