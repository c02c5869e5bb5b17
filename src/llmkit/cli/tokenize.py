"""`llmkit tokenize`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.cli.run import StageOptions, run_stage


def tokenize(
    recipe: o.Recipe = None,
    input: Annotated[
        list[str] | None, typer.Option("--input", "-i", metavar="DIR", help="Corpus artifact; repeatable.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="DIR", help="Use this tokenizer instead of training one.")
    ] = None,
    vocab_size: Annotated[int | None, typer.Option("--vocab-size", min=1, help="Vocabulary size to train for.")] = None,
    output: o.Output = None,
    sets: o.Sets = None,
    force: o.Force = False,
    dry_run: o.DryRun = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Train or take a tokenizer and encode a corpus into tokens."""
    options = StageOptions(
        recipe=recipe, sets=sets, output=output, force=force, dry_run=dry_run, json=json, quiet=quiet, verbose=verbose
    )
    run_stage(
        "tokenize",
        options,
        {
            "inputs": ("--input", input or None),
            "tokenizer.path": ("--tokenizer", tokenizer),
            "tokenizer.vocab_size": ("--vocab-size", vocab_size),
        },
    )
