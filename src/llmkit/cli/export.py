"""`llmkit export`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from llmkit.cli import options as o

_REPORT = "Compare finished exports of one model instead, by size, speed and bits per byte; repeatable."
_PUSH = "Then `llmkit push` it."
_PROVE = "Write it even if its runtime is missing here; exit code 7."


@o.stage_command("export")
def _export(
    model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="The model to export.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="What to write: the exporter.")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="PATH", help="Text to compare on.")] = None,
    unproven: Annotated[bool, typer.Option("--unproven", help=_PROVE)] = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read pickled weights, as tensors alone.")
    ] = False,
) -> o.Named:
    """Write a model for a runtime and prove that it answers the same."""
    return {
        "model": ("--model", model),
        "exporter": ("--format", format_),
        "text": ("--text", text),
        "unproven": ("--unproven", unproven or None),
        "allow_pickle": ("--allow-pickle", allow_pickle or None),
    }


def export(*, report: list[Path] | None = None, push: str | None = None, **values: Any) -> None:
    """Write a model for a runtime and prove that it answers the same."""
    if report:
        from llmkit.cli._export_report import check_alone, report_formats

        check_alone({**values, "push": push})
        report_formats(report, values["text"], values["output"], json=values["json"])
    elif push:
        _export_and_push(push, values)
    else:
        _export(**values)


def _export_and_push(name: str, values: dict[str, Any]) -> None:
    """Export, and push what has been proven; whether the hub would take it is found out before.

    Raises:
        ConfigError: No repository can be called so, or everybody sees it, or the result was to be one JSON object, and
            there would be two.
        SetupError: The hub is not reached.
    """
    from llmkit.cli.push import push_artifact
    from llmkit.core.console import Console
    from llmkit.core.errors import ConfigError
    from llmkit.data.pushing import check_hub, check_name

    if values["json"] and not values["dry_run"]:
        raise ConfigError("--push: --json prints the result of one command", hint=f"llmkit push DIR --to {name} --json")
    check_name("--push", name)
    if values["dry_run"]:
        _export(**values)
        return
    check_hub(name)
    _export(**values)
    push_artifact(values["output"], name, Console(quiet=values["quiet"]))


def _with_own_options(command: Any) -> None:
    """Give the command the options of the stage's, and its own."""
    theirs = inspect.signature(_export)
    options: dict[str, Any] = {
        "report": Annotated[list[Path] | None, typer.Option("--report", metavar="DIR", help=_REPORT)],
        "push": Annotated[str | None, typer.Option("--push", metavar="OWNER/NAME", help=_PUSH)],
    }
    own = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in options.items()
    ]
    command.__signature__ = theirs.replace(parameters=[*theirs.parameters.values(), *own])
    command.__annotations__ = {name: one.annotation for name, one in command.__signature__.parameters.items()}
    command.read = cast("Any", _export).read


_with_own_options(export)
