"""`llmkit tokenize`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError

VIEW = "Look at tokens; nothing is written"


@o.stage_command("tokenize", strict=True, resume=True)
def tokenize(
    context: typer.Context,
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", metavar="DIR|PATH", help="Corpus artifact, or raw text as clean reads it; repeatable."
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="PATH|NAME", help="Use this tokenizer instead of training one.")
    ] = None,
    vocab_size: Annotated[int | None, typer.Option("--vocab-size", min=1, help="Vocabulary size to train for.")] = None,
    workers: o.Workers = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="local|ray", help="Local processes, or a Ray cluster.")
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            "--show",
            metavar="TEXT|-",
            help="Show where --tokenizer cuts a text, or standard input.",
            rich_help_panel=VIEW,
        ),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--compare", metavar="A B", help="Compare two tokenizers on --input or --show.", rich_help_panel=VIEW
        ),
    ] = None,
) -> o.Named:
    """Train or take a tokenizer and encode a corpus into tokens."""
    if show is not None or compare is not None:
        shared = {name: bool(context.params[name]) for name in ("quiet", "verbose")}
        _look(show, compare, tokenizer, input or [], Console(json_mode=bool(context.params["json"]), **shared))
        raise typer.Exit
    if tokenizer is not None and vocab_size is not None:
        raise ConfigError(
            "--vocab-size and --tokenizer exclude each other: a tokenizer that is taken has the size it has",
            hint="leave out one of them; new tokens are added by -s 'tokenizer.add_tokens=[...]'",
        )
    return {
        "inputs": ("--input", input or None),
        "tokenizer.path": ("--tokenizer", tokenizer),
        "tokenizer.vocab_size": ("--vocab-size", vocab_size),
        "workers": ("--workers", workers),
        "engine": ("--engine", engine),
    }


def _look(
    show: str | None, compare: tuple[str, str] | None, tokenizer: str | None, inputs: list[str], console: Console
) -> None:
    if compare is None and tokenizer is None:
        raise ConfigError("--show needs a tokenizer", hint='llmkit tokenize --show "text" --tokenizer DIR')
    if compare is not None and (show is None) == (not inputs):
        raise ConfigError(
            "--compare needs a text: either --input or --show", hint="llmkit tokenize --compare DIR DIR -i CORPUS"
        )
    text = None if show is None else _text(show)

    from llmkit.data.sources import Record
    from llmkit.tokenization import compare as comparing
    from llmkit.tokenization.borrow import load, locate
    from llmkit.tokenization.show import show_text

    if compare is None:
        assert tokenizer is not None
        assert text is not None
        show_text(load(locate(tokenizer)), text, console, verbose=console.verbose)
        return
    tokenizers = [load(locate(path)) for path in compare]
    records = comparing.sample(comparing.open_sources(inputs)) if text is None else [Record(0, text, "text")]
    comparing.show_comparison(comparing.compare(compare, tokenizers, records), console)


def _text(show: str) -> str:
    if show != "-":
        return show
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"standard input is not valid UTF-8: {error.reason} at byte {error.start}", hint="iconv -t utf-8 FILE"
        ) from None
