"""Show labelled rows as the model sees them, without training and without writing anything."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from llmkit.core.console import Console
from llmkit.core.errors import DataError
from llmkit.core.page import percent
from llmkit.data.packing import Example, LeftOut, Outcome, examples_of
from llmkit.data.rows import Row
from llmkit.data.sources import Broken, Source
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows import LEARNED_MARK, RowObjective
from llmkit.training.base_model import fit
from llmkit.training.config import RowTrainingConfig
from llmkit.training.rows import Encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LEARNED, SPECIAL = "#14171c on #bdebc9", "bold"
"""Dark on light: readable on any terminal, whatever its own background."""
VISIBLE = (("\t", "→\t"), ("\r", "␍"), ("\n", "↵\n"))
"""What white space is shown as in a terminal; blanks only where they could be overlooked."""
BLANKS = re.compile(r" (?=\n|$)|(?<= ) |(?<=\n) |^ ")
BROKEN_SHOWN = 5
SURVEYED = 1000
"""Rows that labels are taken from; all of them would have to be read to know all."""


def preview_rows(
    config: RowTrainingConfig, model: Path, sources: Sequence[Source], kind: Row, count: int, console: Console
) -> None:
    """Show the first rows: their text, their tokens with the learned ones marked, or why they are left out.

    Args:
        config: The run's.
        model: Where the model is; only its tokenizer and its sizes are read.
        sources: Where the rows are.
        kind: What they are.
        count: How many to show.
        console: Where to; a verbose one shows the ids as well.

    Raises:
        DataError: There is no row that can be read.
    """
    broken: list[str] = []
    rows = list(islice(_rows(sources, broken), SURVEYED))
    say_broken(broken, console)
    if not rows:
        raise DataError("data: there is no row that can be read", hint="llmkit clean --preview says why")
    begun = config.objective.of_model(model)
    objective = begun.settle(kind, Counter(value for row in rows for value in begun.notice(row)))
    config, tokenizer = fit(config, objective, model, console)
    vocabulary = vocabulary_of(tokenizer)
    objective.check(vocabulary)
    encoder = Encoder(
        objective, kind, objective.columns(vocabulary), config.context_length, model, tokenizer,
        overlength=config.overlength,
    )  # fmt: skip
    shown = rows[:count]
    found = encoder.encode(shown)
    if console.json_mode:
        seen = [_as_json(row, outcome, objective, tokenizer) for row, outcome in zip(shown, found, strict=True)]
        spec = objective.spec(mode="json")
        console.print_json({"status": "preview", "exit_code": 0, "objective": spec, "rows": seen})
        return
    for row, outcome in zip(shown, found, strict=True):
        for name, text in kind.show(row):
            console.print(Text(f"{name}: {text}"))
        if isinstance(outcome, LeftOut):
            console.print(Text(f"left out: {outcome.why}"))
        for example in examples_of(outcome):
            _show(example, objective, tokenizer, console, config.context_length)
        console.print()


def _show(
    example: Example,
    objective: RowObjective,
    tokenizer: PreTrainedTokenizerFast,
    console: Console,
    limit: int,
) -> None:
    for name, pieces in seen_pieces(example, objective, tokenizer).items():
        console.print(marked(name, pieces, tokenizer, colours=console.out.is_terminal))
        size, learned = np.size(example.columns[name]), sum(map(bool, objective.marks(example, name)))
        share = f", {learned:,} of them learned ({percent(learned, size)})" if learned else ""
        cut = f"; cut, for the row has more than {limit:,}" if example.cut else ""
        console.print(Text(f"tokens: {size:,}{share}{cut}", style="dim"))
        if console.verbose:
            console.print(Text(f"ids: {' '.join(map(str, np.asarray(example.columns[name]).tolist()))}", style="dim"))


def seen_pieces(
    example: Example, objective: RowObjective, tokenizer: PreTrainedTokenizerFast
) -> dict[str, list[tuple[str, str]]]:
    """Return what the model reads, by the names of its sequences: pieces of text, each with what is learned of it."""
    found = {}
    for name, ids in example.columns.items():
        if not name.endswith("input_ids"):
            continue
        marks = objective.marks(example, name)
        pieces = groupby(zip(np.asarray(ids).tolist(), marks, strict=True), key=lambda token: token[1])
        found[name] = [(tokenizer.decode([i for i, _ in group]), mark) for mark, group in pieces]
    return found


def marked(name: str, pieces: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerFast, *, colours: bool) -> Text:
    """Return a sequence for people: what is learned in colour or, in a pipe, within marks."""
    title = Text(f"{name.removesuffix('input_ids').rstrip('_') or 'model'}: ", style="bold")
    return title.append_text(coloured(pieces, tokenizer) if colours else _bracketed(pieces))


def _bracketed(pieces: Sequence[tuple[str, str]]) -> Text:
    """Return the pieces in a row, as they are: what is learned within marks."""
    text = Text(style="not bold")
    for piece, mark in pieces:
        learned = f"[[{piece}]]" if mark == LEARNED_MARK else f"[[{piece}|{mark}]]"
        text.append(learned if mark else piece)
    return text


def coloured(pieces: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerFast) -> Text:
    """Return the pieces in a row, coloured where they are learned; special tokens stand out, white space is seen."""
    added = sorted((re.escape(str(token)) for token in tokenizer.added_tokens_decoder.values()), key=len, reverse=True)
    specials = re.compile(f"({'|'.join(added)})") if added else None
    text = Text(style="not bold")
    for piece, mark in pieces:
        style = LEARNED if mark else ""
        for number, part in enumerate(specials.split(piece) if specials else [piece]):
            text.append(
                part if number % 2 else visible(part), style=f"{style} {SPECIAL}".strip() if number % 2 else style
            )
        if mark and mark != LEARNED_MARK:
            text.append(f"/{mark}", style="cyan")
    return text


def visible(text: str) -> str:
    """Return a text with its white space as it is seen: ends of lines, tabs, and blanks that could be overlooked."""
    text = BLANKS.sub("·", text)
    for blank, shown in VISIBLE:
        text = text.replace(blank, shown)
    return text


def _as_json(row: dict[str, Any], found: Outcome, objective: RowObjective, tokenizer: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"row": row}
    if isinstance(found, LeftOut):
        return {**shown, "left_out": found.why}
    first, *more = [
        {"cut": one.cut, "targets": one.targets, "seen": seen_pieces(one, objective, tokenizer)}
        for one in examples_of(found)
    ]
    return {**shown, **first, **({"more": more} if more else {})}


def say_broken(broken: Sequence[str], console: Console) -> None:
    """Say which rows could not be read and why, the first of them, as training does."""
    for line in broken[:BROKEN_SHOWN]:
        console.warn(line)
    if len(broken) > BROKEN_SHOWN:
        console.warn(f"and {len(broken) - BROKEN_SHOWN:,} more unreadable rows")


def _rows(sources: Sequence[Source], broken: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the sources; of those that cannot be read, note where they stand and why."""
    for source in sources:
        for file in source.files():
            for record in source.read(file):
                if isinstance(record, Broken):
                    broken.append(f"{record.place(file.path)}: {record.reason}")
                else:
                    yield record.fields
