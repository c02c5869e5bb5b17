"""`llmkit clean`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llmkit.cli import options as o


@o.stage_command("clean", strict=True, resume=True, preview=True)
def clean(
    input: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="PATH|SOURCE", help="File, directory, glob or source name; repeatable."),
    ] = None,
    text_field: Annotated[
        str | None,
        typer.Option("--text-field", metavar="COLUMN", help="Column that holds the text, in every file given with -i."),
    ] = None,
    workers: o.Workers = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="local|ray", help="Local processes, or a Ray cluster.")
    ] = None,
) -> o.Named:
    """Turn raw text into a corpus, with every dropped document explained."""
    return {
        "inputs": ("--input", _inputs(input, text_field)),
        "workers": ("--workers", workers),
        "engine": ("--engine", engine),
    }


def _inputs(given: list[str] | None, text_field: str | None) -> list[Any] | None:
    """Return the inputs as a recipe would give them; sources by name have no text field."""
    from llmkit.core.errors import ConfigError
    from llmkit.core.registry import Family

    if text_field is None:
        return list(given) if given else None
    if not given:
        raise ConfigError("--text-field goes with --input", hint=f"--set inputs.0.text_field={text_field}")
    sources = Family("source").members()
    return [item if item in sources else {"type": "files", "path": item, "text_field": text_field} for item in given]
