"""`llmkit plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmkit.cli import options as o
from llmkit.core.config import resolve
from llmkit.core.console import Console
from llmkit.core.page import size
from llmkit.core.progress import clock
from llmkit.core.recipes import find_recipe
from llmkit.data.tokens import TOKENS_FILE

if TYPE_CHECKING:
    from llmkit.training.plan import Plan

NO_DATA = "no-data"


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
    from llmkit.stages.pretrain import Config, check, packing_of
    from llmkit.training.plan import plan as work_out

    # A model may be planned before there is data; the recipe's own, if it has one, wins over the stand-in.
    given = data or (None if recipe or any(item.startswith(("data=", "data.")) for item in sets or ()) else [NO_DATA])
    path = find_recipe(recipe, "pretrain") if recipe else None
    config = resolve(Config, recipe=path, sets=sets or (), options={"data": ("--data", given)}).config
    check(config)
    paths = [item.path for item in config.data]
    found = work_out(config, config.model, paths, config.objective.model_head(), nproc)
    console, packing = Console(json_mode=json), packing_of(config)
    if missing := [path for path in paths if path != NO_DATA and not Path(path, TOKENS_FILE).is_file()]:
        console.warn(f"not there yet, or no tokens, and not counted: {', '.join(missing)}")
    if found.memory is not None and found.memory.total > found.memory_limit:
        console.warn("a step does not fit into memory: lower micro_batch_tokens")
    if json:
        objective = config.objective.type_name
        console.print_json(
            {"status": "done", "exit_code": 0, "objective": objective, "packing": packing, **found.as_json()}
        )
        return
    console.table([*_rows(found), ("run", f"{config.objective.type_name}, packing {packing}, {found.optimizer}")])


def _rows(found: Plan) -> list[tuple[str, str]]:
    rows = [
        ("parameters", f"{found.parameters:,}: embedding {found.embedding:,}, body {found.body:,}"),
        ("", f"{found.arch}, vocabulary {found.vocab_size:,}"),
    ]
    if found.tokens is None or found.steps is None or found.tokens_per_parameter is None:
        rows.append(("tokens", "unknown: no data to count, and no max_steps or max_tokens"))
    else:
        rows.append(("tokens", f"{found.tokens:,} in {found.steps:,} steps"))
        if found.epochs is not None:
            rows.append(("", f"{found.epochs:.2f} epochs of {found.tokens_per_epoch:,} tokens"))
        ratio = (
            f"{found.tokens_per_parameter:.2g}"
            if found.tokens_per_parameter < 10
            else f"{found.tokens_per_parameter:,.0f}"
        )
        rows.append(("", f"{ratio} per parameter (20 is compute-optimal: {20 * found.parameters:,})"))
        rows.append(("FLOPs", f"{found.flops:.3g}, {found.flops_per_token:.3g} per token"))
    if found.seconds is not None:
        compiled = ", compiled" if found.compile else ""
        rows += [
            ("time", f"{clock(found.seconds)} in {found.precision}{compiled}, validation included"),
            ("", f"{found.flops_per_second / 1e9:,.0f} GFLOP/s of matrix products, measured now"),
        ]
    if found.memory is None:
        rows.append(("memory", f"unknown: {found.arch} cannot be run without data"))
    else:
        total = f"{size(found.memory.total)} per process, {size(found.memory_limit)} are there"
        rows += [("memory", total), ("", f"{found.micro_batch_tokens:,} tokens at a time")]
        rows += [(f"  {name.replace('_', ' ')}", size(part)) for name, part in vars(found.memory).items() if part]
    return [*rows, ("disk", f"{size(found.disk)} at most, {size(found.checkpoint)} a checkpoint")]
