"""`llmkit clean`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llmkit.cli import options as o
from llmkit.work.garbage import collect_rarely


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
    row: Annotated[
        str | None,
        typer.Option("--row", metavar="NAME|auto", help="Read labelled rows from every file given with -i."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="FIELD=COLUMN", help="Column that holds a field of --row; repeatable."),
    ] = None,
    workers: o.Workers = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="local|ray", help="Local processes, or a Ray cluster.")
    ] = None,
) -> o.Named:
    """Turn raw text into a corpus, with every dropped document explained."""
    collect_rarely()
    return {
        "inputs": ("--input", _inputs(input, text_field, row, column)),
        "workers": ("--workers", workers),
        "engine": ("--engine", engine),
    }


def _inputs(
    given: list[str] | None, text_field: str | None, row: str | None, column: list[str] | None
) -> list[Any] | None:
    """Return the inputs as a recipe would give them; what the options say of columns goes for files alone."""
    from llmkit.core.errors import ConfigError
    from llmkit.core.registry import Family

    said = {"text_field": text_field, "row": row, "columns": columns_of(column)}
    fields = {name: value for name, value in said.items() if value is not None}
    if not fields:
        return list(given) if given else None
    if not given:
        name, value = next(iter(fields.items()))
        option = {"text_field": "--text-field", "row": "--row", "columns": "--column"}[name]
        raise ConfigError(f"{option} goes with --input", hint=f"--set inputs.0.{name}={value}")
    family = Family("source", shorthand=("files", "path"))
    opened = [family.open(item) for item in given]
    return [
        {**source, **fields} if source["type"] == "files" else item for source, item in zip(opened, given, strict=True)
    ]


def columns_of(given: list[str] | None) -> dict[str, str] | None:
    """Return the columns by the fields that they hold."""
    from llmkit.core.errors import ConfigError

    columns = {}
    for item in given or ():
        field, separator, column = item.partition("=")
        if not (field and separator and column):
            raise ConfigError(f"--column {item}: expected FIELD=COLUMN, such as --column label=stars")
        columns[field] = column
    return columns or None
