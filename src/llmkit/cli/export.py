"""`llmkit export`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from llmkit.cli import options as o

_REPORT = "Compare finished exports of one model instead: size, load time, tokens/s, bits per byte; repeatable."
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


def export(*, report: list[Path] | None = None, **values: Any) -> None:
    """Write a model for a runtime and prove that it answers the same."""
    if report:
        from llmkit.cli._export_report import report_formats

        report_formats(report, values["text"], values["output"], json=values["json"])
    else:
        _export(**values)


def _with_report(command: Any) -> None:
    """Give the command the options of the stage's, and its own."""
    theirs = inspect.signature(_export)
    own = inspect.Parameter(
        "report", inspect.Parameter.KEYWORD_ONLY, default=None,
        annotation=Annotated[list[Path] | None, typer.Option("--report", metavar="DIR", help=_REPORT)],
    )  # fmt: skip
    command.__signature__ = theirs.replace(parameters=[*theirs.parameters.values(), own])
    command.__annotations__ = {name: one.annotation for name, one in command.__signature__.parameters.items()}
    command.read = cast("Any", _export).read


_with_report(export)
