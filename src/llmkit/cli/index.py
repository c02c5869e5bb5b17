"""`llmkit index`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("index", strict=True, resume=True)
def index(
    input: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="PATH|SOURCE", help="Corpus, file, directory or glob; repeatable."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="DIR", help="Embedding model, to find by meaning.")
    ] = None,
) -> o.Named:
    """Index documents, tables or triples, to search them and to answer from them."""
    return {"inputs": ("--input", list(input) if input else None), "model": ("--model", model)}
