"""`llmkit predict`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("predict", strict=True, resume=True)
def predict(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="The model's directory.")] = None,
    also_model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="The same as the argument.")] = None,
    input: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="PATH|SOURCE", help="File, directory, glob or source name; repeatable."),
    ] = None,
    text_field: Annotated[
        str | None, typer.Option("--text-field", metavar="COLUMN", help="Column that holds the text.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="FIELD=COLUMN", help="Column that holds text, pair or question; repeatable."),
    ] = None,
) -> o.Named:
    """Label, rate, tag, answer or embed the rows of any files with a model."""
    from llmkit.cli.clean import columns_of
    from llmkit.core.errors import ConfigError

    if model is not None and also_model is not None and model != also_model:
        raise ConfigError(f"the model is given twice, as {model} and as --model {also_model}")
    columns = {**({"text": text_field} if text_field else {}), **(columns_of(column) or {})}
    return {
        "model": ("--model" if model is None else "MODEL", also_model if model is None else model),
        "inputs": ("--input", list(input) if input else None),
        "columns": ("--column", columns or None),
    }
