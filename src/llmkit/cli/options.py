"""The options that stages share, declared once, and the decorator that gives them to a stage's command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

import typer

RUN = "Run"
MESSAGES = "Messages"

Named = Mapping[str, tuple[str, Any]]
"""Dotted config key -> (option name, value) of a command's own options; None values are left out."""

Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes.")]
MaxSteps = Annotated[int | None, typer.Option("--max-steps", min=1, help="Optimizer steps to train for.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=MESSAGES)]


@dataclass(frozen=True)
class StageOptions:
    """The options of every stage; `resume`, `strict`, `preview` and `nproc` only where they mean something."""

    recipe: Annotated[
        str | None,
        typer.Option("--recipe", "-r", metavar="FILE|NAME", help="Recipe file, or the name of a shipped one."),
    ] = None
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where the artifact goes; required.")
    ] = None
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set any recipe field by its dotted path; repeatable."),
    ] = None
    resume: Annotated[
        str,
        typer.Option(
            "--resume",
            metavar="auto|never|DIR",
            help="Go on from an interrupted run, or a checkpoint.",
            rich_help_panel=RUN,
        ),
    ] = "auto"
    nproc: Annotated[
        int,
        typer.Option(
            "--nproc", min=1, metavar="N", help="Processes on this machine, one per GPU.", rich_help_panel=RUN
        ),
    ] = 1
    force: Annotated[
        bool, typer.Option("--force", help="Replace a finished artifact of another config.", rich_help_panel=RUN)
    ] = False
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first broken record.", rich_help_panel=RUN)] = (
        False
    )
    max_failed: Annotated[
        float,
        typer.Option(
            "--max-failed",
            min=0,
            max=1,
            metavar="SHARE",
            help="Fail where so large a share of the raw rows is unreadable.",
            rich_help_panel=RUN,
        ),
    ] = 0.5
    preview: Annotated[
        int | None,
        typer.Option(
            "--preview",
            min=1,
            metavar="N",
            help="Show what becomes of N documents or rows; write nothing.",
            rich_help_panel=RUN,
        ),
    ] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved config and its origins.", rich_help_panel=RUN)
    ] = False
    json: Json = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only warnings and the result.", rich_help_panel=MESSAGES)
    ] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Debug output too.", rich_help_panel=MESSAGES)] = (
        False
    )


def stage_command(
    stage: str, *, strict: bool = False, resume: bool = False, preview: bool = False, nproc: bool = False
) -> Callable[[Callable[..., Named]], Callable[..., None]]:
    """Make a stage's command of a function that turns its own options into config values.

    Its attribute `read` has the same options and returns them, without running anything.

    Args:
        stage: The command's name.
        strict: The stage reads raw records: it has `--strict` and `--max-failed`.
        resume: The stage goes on from checkpoints: it has `--resume`.
        preview: The stage can show what it does: it has `--preview`.
        nproc: The stage runs as several processes: it has `--nproc`.
    """
    wanted = {"strict": strict, "max_failed": strict, "resume": resume, "preview": preview, "nproc": nproc}
    left_out = {name for name, has in wanted.items() if not has}

    def decorate(function: Callable[..., Named]) -> Callable[..., None]:
        hints = get_type_hints(StageOptions, include_extras=True)
        shared = [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
            )
            for field in fields(StageOptions)
            if field.name not in left_out
        ]
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(function, eval_str=True).parameters.values()
        ]

        def read(**values: Any) -> tuple[StageOptions, Named]:
            named = function(**{parameter.name: values.pop(parameter.name) for parameter in own})
            return StageOptions(**values), named

        def command(**values: Any) -> None:
            from llmkit.cli.run import run_stage

            run_stage(stage, *read(**values), several=nproc)

        parameters = [shared[0], *own, *shared[1:]]
        for made in (cast("Any", command), cast("Any", read)):
            made.__doc__ = function.__doc__
            made.__signature__ = inspect.Signature(parameters)
            made.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.read = read  # type: ignore[attr-defined]
        return command

    return decorate
