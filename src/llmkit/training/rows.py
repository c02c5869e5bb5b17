"""From labelled rows to a feed: labels are counted, rows are encoded once, and laid out as the objective asks."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import DataError
from llmkit.data.artifacts import Examples
from llmkit.data.encoding import Counts, encode_rows
from llmkit.data.feeds import Feed, HeldOut
from llmkit.data.order import Order
from llmkit.data.packing import LONG, Column, EncodedRows, Outcome, RowBuckets, RowPacker
from llmkit.data.split import Split
from llmkit.data.unread import Unread
from llmkit.modeling.templated import OtherIdsError, leave_to_tokenizer
from llmkit.modeling.tokenizer import load_tokenizer
from llmkit.objectives.rows import RowObjective
from llmkit.training.overlength import LongRows, Overlength, check_long

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.console import Console
    from llmkit.data.rows import Row
    from llmkit.work.engine import Engine

WORKERS_FROM = 20_000
"""Rows from which more processes win back the seconds that they take to start."""


@dataclass
class Encoder:
    """An objective's way to encode rows; on a worker it loads the tokenizer anew.

    Attributes:
        objective: Whose.
        kind: What the rows are.
        columns: Of its examples.
        limit: Longest sequence, in tokens.
        folder: Where the tokenizer is.
        tokenizer: The tokenizer, in the process that made this.
        is_fast: gigatoken may encode where it finds the tokenizer's ids.
        plain: The tokenizer is of no class of its own: a worker loads it without torch, in a third of the memory.
        overlength: What is done with rows beyond the limit.
        positions: Of the model, where they are limited.
    """

    objective: RowObjective
    kind: Row
    columns: Mapping[str, Column]
    limit: int
    folder: Path
    tokenizer: PreTrainedTokenizerFast | None = field(default=None, compare=False)
    is_fast: bool = True
    plain: bool = False
    overlength: Overlength = "error"
    positions: int | None = None

    def __post_init__(self) -> None:
        """See what class the tokenizer is of."""
        from transformers import PreTrainedTokenizerFast

        self.plain = type(self.tokenizer) is PreTrainedTokenizerFast

    def encode(self, rows: Sequence[dict[str, Any]]) -> Sequence[Outcome]:
        """Return what becomes of each row."""
        tokenizer = self._loaded()
        if not self.is_fast:
            leave_to_tokenizer(tokenizer)

        def encode(some: Sequence[Mapping[str, Any]], limit: int) -> Sequence[Outcome]:
            return self.objective.encode(some, self.kind, tokenizer, limit)

        long = LongRows(self.overlength, self.objective, self.kind, self.limit, encode)
        return long.settle(rows, encode(rows, self.limit))

    def split_text(self, row: Mapping[str, Any]) -> str:
        """Return the text that decides whether a row is for training or for validation."""
        return self.kind.split_text(row)

    def _loaded(self) -> PreTrainedTokenizerFast:
        return self.tokenizer or _tokenizer(self.folder, self.plain)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "tokenizer": None}


@lru_cache(maxsize=2)  # a process trains once, but tests and notebooks often: tokenizers would never be freed
def _tokenizer(folder: Path, plain: bool) -> PreTrainedTokenizerFast:
    if not plain:
        return load_tokenizer(folder)
    from transformers import PreTrainedTokenizerFast

    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    return tokenizer


def notice(corpora: Sequence[Path], kind: Row, objective: RowObjective) -> Counter[Any]:
    """Count what the objective has to know of all rows, such as labels; reads the columns of the rows alone."""
    columns = [field.name for field in kind.schema()]
    noticed: Counter[Any] = Counter()
    if type(objective).notice is RowObjective.notice:
        return noticed
    for corpus in corpora:
        for row in Examples(corpus).rows(columns):
            noticed.update(objective.notice(row))
    return noticed


def encode(
    corpora: Sequence[Path],
    encoder: Encoder,
    folder: Path,
    engine: Engine,
    console: Console,
    fraction: float,
    *,
    side: Split = "train",
) -> dict[str, Counts]:
    """Encode all rows, and say what happened to those that could not be used as they are: nothing is cut in silence.

    Args:
        corpora: Folders of examples.
        encoder: How rows become examples.
        folder: Where to.
        engine: Workers.
        console: Progress and warnings.
        fraction: Share of the rows that validation gets.
        side: The side that is told of, and that must not be empty.

    Raises:
        DataError: No row is left to train on, or many are too long.
    """
    objective, limit = encoder.objective, encoder.limit
    try:
        counts = encode_rows(corpora, encoder, folder, engine=engine, console=console, validation_fraction=fraction)
    except OtherIdsError:
        console.info("gigatoken finds other ids in these rows than tokenizers: they are encoded anew, without it")
        shutil.rmtree(folder)
        slow = replace(encoder, is_fast=False)
        counts = encode_rows(corpora, slow, folder, engine=engine, console=console, validation_fraction=fraction)
    check_long(counts, encoder.overlength, limit, encoder.positions, splits=objective.splits)
    train = counts[side]
    if train.examples > train.rows:
        expands = "some are split" if encoder.overlength == "split" and train.long else objective.expands
        console.info(f"{train.rows:,} rows become {train.examples:,} examples: {expands}")
    if train.cut:
        console.warn(f"{train.cut:,} rows are longer than context_length {limit:,} and were cut")
    if encoder.overlength == "split" and (split := train.long.total() - train.cut - train.left_out[LONG]):
        console.info(f"{split:,} rows are longer than context_length {limit:,} and were split")
    for code, number in train.notes.items():
        console.warn(f"{number:,} {objective.notes[code]}")
    for code, number in train.left_out.items():
        console.warn(f"{number:,} rows were left out: {train.why[code]}")
    if not train.rows:
        why = ", ".join(f"{number:,} have {train.why[code]}" for code, number in train.left_out.items())
        what = "data: no row is left to train on" if side == "train" else "validation_data: no row is left"
        raise DataError(
            f"{what} ({why or 'there are none'})",
            hint="raise context_length, or check the data" if LONG in train.left_out else "check the data",
        )
    return counts


def make_feed(
    objective: RowObjective,
    rows: EncodedRows,
    held: EncodedRows,
    *,
    context_length: int,
    batch_rows: int,
    seed: int,
    pad_id: int,
    apart: bool = False,
    unread: Unread = Unread(),  # noqa: B008 - a tuple
) -> Feed:
    """Lay encoded rows out as the objective asks.

    Args:
        objective: Whose rows.
        rows: Those to train on.
        held: Those to validate on; there may be none.
        context_length: Positions of a block that several rows share.
        batch_rows: Rows per step, where a block is one row.
        seed: Seed of the order.
        pad_id: Token id that fills up a block.
        apart: Rows may not share blocks, whatever the objective says.
        unread: What the tokenizer did not read of the rows to validate on.
    """
    text = int(held.num_bytes.sum()), unread
    if objective.layout == "pack" and not apart:
        order = Order(RowPacker(rows, context_length, seed=seed, pad_id=pad_id))
        held_out = HeldOut(RowPacker(held, context_length, seed=None, pad_id=pad_id), *text) if len(held) else None
        return Feed(order, held_out, block_tokens=context_length)
    batch_blocks = None if objective.layout == "pad" else batch_rows
    held_out = HeldOut(RowBuckets(held, seed=None, positions=apart), *text) if len(held) else None
    stream = Order(RowBuckets(rows, seed=seed, batch_blocks=batch_blocks, positions=apart))
    return Feed(stream, held_out, block_tokens=float(rows.num_tokens.mean()), same_width=False)
