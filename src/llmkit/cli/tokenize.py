"""`llmkit tokenize`."""

from __future__ import annotations

from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.core.errors import ConfigError
from llmkit.work.garbage import collect_rarely

_HELP = {
    "input": "Corpus artifact, or raw text as clean reads it; repeatable.",
    "tokenizer": "Use this tokenizer instead of training one.",
    "show": "Show where --tokenizer cuts a text, or standard input.",
    "compare": "Compare two tokenizers on --input or --show.",
}
_VIEW = "Look at tokens; nothing is written"
Input = Annotated[list[str] | None, typer.Option("--input", "-i", metavar="DIR|PATH", help=_HELP["input"])]
Tokenizer = Annotated[str | None, typer.Option("--tokenizer", metavar="PATH|NAME", help=_HELP["tokenizer"])]
VocabSize = Annotated[int | None, typer.Option("--vocab-size", min=1, help="Vocabulary size to train for.")]
Engine = Annotated[str | None, typer.Option("--engine", metavar="local|ray", help="Local processes, or a Ray cluster.")]
Show = Annotated[str | None, typer.Option("--show", metavar="TEXT|-", help=_HELP["show"], rich_help_panel=_VIEW)]
Compare = Annotated[
    tuple[str, str] | None, typer.Option("--compare", metavar="A B", help=_HELP["compare"], rich_help_panel=_VIEW)
]


@o.stage_command("tokenize", strict=True, resume=True)
def tokenize(
    context: typer.Context,
    input: Input = None,
    tokenizer: Tokenizer = None,
    vocab_size: VocabSize = None,
    workers: o.Workers = None,
    engine: Engine = None,
    show: Show = None,
    compare: Compare = None,
) -> o.Named:
    """Train or take a tokenizer and encode a corpus into tokens."""
    collect_rarely()
    if show is not None or compare is not None:
        from llmkit.core.console import Console
        from llmkit.tokenization.look import look

        shared = {name: bool(context.params[name]) for name in ("quiet", "verbose")}
        look(show, compare, tokenizer, input or [], Console(json_mode=bool(context.params["json"]), **shared))
        raise typer.Exit
    if tokenizer is not None and vocab_size is not None:
        raise ConfigError(
            "--vocab-size and --tokenizer exclude each other: a tokenizer that is taken has the size it has",
            hint="leave out one of them; new tokens are added by -s 'tokenizer.add_tokens=[...]'",
        )
    named = {"tokenizer.path": ("--tokenizer", tokenizer), "tokenizer.vocab_size": ("--vocab-size", vocab_size)}
    return {
        "inputs": ("--input", input or None),
        **named,
        "workers": ("--workers", workers),
        "engine": ("--engine", engine),
    }
