"""`llmkit tokenize`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o


@o.stage_command("tokenize")
def tokenize(
    input: Annotated[
        list[str] | None, typer.Option("--input", "-i", metavar="DIR", help="Corpus artifact; repeatable.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="DIR", help="Use this tokenizer instead of training one.")
    ] = None,
    vocab_size: Annotated[int | None, typer.Option("--vocab-size", min=1, help="Vocabulary size to train for.")] = None,
) -> o.Named:
    """Train or take a tokenizer and encode a corpus into tokens."""
    return {
        "inputs": ("--input", input or None),
        "tokenizer.path": ("--tokenizer", tokenizer),
        "tokenizer.vocab_size": ("--vocab-size", vocab_size),
    }
