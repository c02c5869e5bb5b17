"""Show labelled rows as the model sees them, without training and without writing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from llmkit.core.console import Console
from llmkit.core.errors import DataError
from llmkit.data.packing import Example, LeftOut, Outcome, examples_of
from llmkit.data.rows import Row
from llmkit.data.sources import Broken, Source
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows import LEARNED_MARK, RowObjective
from llmkit.training.config import RowTrainingConfig
from llmkit.training.preparation import fit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LEARNED = "#14171c on #bdebc9"
"""Dark on light: readable on any terminal, whatever its own background."""
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
        console: Where to.

    Raises:
        DataError: There is no row that can be read.
    """
    rows = list(islice(_rows(sources), SURVEYED))
    if not rows:
        raise DataError("data: there is no row that can be read", hint="llmkit clean --preview says why")
    noticed = Counter(value for row in rows for value in config.objective.notice(row))
    objective = config.objective.settle(kind, noticed)
    config, tokenizer = fit(config, objective, model, console)
    objective.check(vocabulary_of(tokenizer))
    shown = rows[:count]
    found = list(objective.encode(shown, kind, tokenizer, config.context_length))
    if console.json_mode:
        seen = [_as_json(row, example, objective, tokenizer) for row, example in zip(shown, found, strict=True)]
        spec = objective.spec(mode="json")
        console.print_json({"status": "preview", "exit_code": 0, "objective": spec, "rows": seen})
        return
    for row, example in zip(shown, found, strict=True):
        for name, text in kind.show(row):
            console.print(Text(f"{name}: {text}"))
        if isinstance(example, LeftOut):
            console.print(Text(f"left out: {example.why}"))
        for part in examples_of(example):
            for name, pieces in seen_pieces(part, objective, tokenizer).items():
                console.print(_marked(name, pieces, colours=console.out.is_terminal))
        console.print()


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


def _marked(name: str, pieces: Sequence[tuple[str, str]], *, colours: bool) -> Text:
    """Return the pieces in a row: what is learned in colour or, in a pipe, within marks."""
    text = Text(f"{name.removesuffix('input_ids').rstrip('_') or 'model'}: ", style="bold")
    for piece, mark in pieces:
        if not mark:
            text.append(piece, style="not bold")
        elif colours:
            text.append(piece, style=LEARNED)
            text.append("" if mark == LEARNED_MARK else f"/{mark}", style="not bold cyan")
        else:
            text.append(f"[[{piece}]]" if mark == LEARNED_MARK else f"[[{piece}|{mark}]]")
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


def _rows(sources: Sequence[Source]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the sources; those that cannot be read are left out."""
    for source in sources:
        for file in source.files():
            for record in source.read(file):
                if not isinstance(record, Broken):
                    yield record.fields
