"""Look at tokens without writing anything: one tokenizer on a text, or two side by side on a text or a corpus."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError
from llmkit.data.sources import Record
from llmkit.tokenization.borrow import load, locate
from llmkit.tokenization.compare import compare, open_sources, sample, show_comparison
from llmkit.tokenization.show import encoded, show_text


def look(
    text: str | None,
    pair: tuple[str, str] | None,
    tokenizer: str | None,
    inputs: Sequence[str],
    console: Console,
) -> None:
    """Print where one tokenizer cuts a text, or how two compare.

    Args:
        text: The text; `-` is standard input.
        pair: Two tokenizers to compare, on the text or the inputs.
        tokenizer: The one tokenizer, if none are compared.
        inputs: What to compare on.
        console: Where to print.

    Raises:
        ConfigError: Something is missing, or there is something too many.
        DataError: There is no such tokenizer or input, or the text is not UTF-8.
    """
    if pair is None and tokenizer is None:
        raise ConfigError("--show needs a tokenizer", hint='llmkit tokenize --show "text" --tokenizer DIR')
    if pair is not None and (text is None) == (not inputs):
        raise ConfigError(
            "--compare needs a text: either --input or --show", hint="llmkit tokenize --compare DIR DIR -i CORPUS"
        )
    text = _standard_input() if text == "-" else text
    if text is not None:
        encoded(text)  # else the first to encode it would fail
    if pair is not None:
        tokenizers = [load(locate(path)) for path in pair]
        records = sample(open_sources(list(inputs))) if text is None else [Record(0, text, "text")]
        show_comparison(compare(pair, tokenizers, records), console)
    elif tokenizer is not None and text is not None:
        show_text(load(locate(tokenizer)), text, console, verbose=console.verbose)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"standard input is not valid UTF-8: {error.reason} at byte {error.start}", hint="iconv -t utf-8 FILE"
        ) from None
