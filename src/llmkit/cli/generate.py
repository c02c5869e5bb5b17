"""`llmkit generate`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("generate", strict=True, resume=True)
def generate(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Directory, file in GGUF, or address of a server.")
    ] = None,
    also_model: Annotated[str | None, typer.Option("--model", metavar="DIR", help="The same as the argument.")] = None,
    input: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="PATH|SOURCE", help="File, directory, glob or source name; repeatable."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="FIELD=COLUMN", help="Column that holds a field of the rows; repeatable."),
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option("--max-new-tokens", min=1, help="Longest answer.")] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0, help="0 takes the likeliest token each time.")
    ] = None,
    num_samples: Annotated[int | None, typer.Option("--num-samples", "-n", min=1, help="Answers to each row.")] = None,
    seed: o.Seed = None,
) -> o.Named:
    """Write answers to the prompts of any files, as rows that finetune learns from."""
    from llmkit.cli.clean import columns_of
    from llmkit.core.errors import ConfigError

    if model is not None and also_model is not None and model != also_model:
        raise ConfigError(f"the model is given twice, as {model} and as --model {also_model}")
    return {
        "model": ("--model" if model is None else "MODEL", also_model if model is None else model),
        "inputs": ("--input", list(input) if input else None),
        "columns": ("--column", columns_of(column)),
        "max_new_tokens": ("--max-new-tokens", max_new_tokens),
        "temperature": ("--temperature", temperature),
        "num_samples": ("--num-samples", num_samples),
        "seed": ("--seed", seed),
    }
