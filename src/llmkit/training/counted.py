"""Count what a training on labelled rows reads: they are encoded as the run does it, into a folder that goes again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from llmkit.core.console import Console
from llmkit.data.order import Order
from llmkit.data.packing import EncodedRows
from llmkit.modeling.architecture import position_limit
from llmkit.modeling.load import read_config
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.training.base_model import fit, known_size, lies_apart
from llmkit.training.budget import Budget
from llmkit.training.rows import Encoder, encode, make_feed, notice

if TYPE_CHECKING:
    from llmkit.data.feeds import Feed
    from llmkit.data.rows import Row
    from llmkit.objectives.rows import RowObjective
    from llmkit.training.config import RowTrainingConfig
    from llmkit.work.engine import Engine

BLOCKS_AT_ONCE = 512


@dataclass(frozen=True)
class Counted:
    """What a run on labelled rows will read.

    Attributes:
        config: The run's, with what the model and the data decide.
        objective: With what the data decide, such as the labels.
        feed: The rows, laid out.
        batch_blocks: Blocks per optimizer step.
        num_rows: Rows to train on.
        held_out_tokens: Of the rows to validate on.
        tokens_per_epoch: Of the rows to train on.
        longest: Tokens of the longest of them.
        vocab_size: Ids of the tokenizer, with those that a chat template brings along.
        known: How many of them the model was trained with, where that may be fewer than it has rows.
    """

    config: RowTrainingConfig
    objective: RowObjective
    feed: Feed
    batch_blocks: int
    num_rows: int
    held_out_tokens: int
    tokens_per_epoch: int
    longest: int
    vocab_size: int
    known: int | None

    @property
    def batch_tokens(self) -> int:
        """Tokens per optimizer step, padding included; where blocks differ in width, their mean."""
        return max(1, round(self.batch_blocks * self.feed.block_tokens))

    @property
    def widest(self) -> RowTrainingConfig:
        """The config as of the widest step: blocks of several widths are no wider than the longest row."""
        if self.feed.same_width:
            return self.config
        width = min(self.longest, self.config.context_length)
        return self.config.model_copy(update={"context_length": width, "batch_tokens": self.batch_blocks * width})

    @property
    def steps(self) -> int | None:
        """Optimizer steps until the first limit that can be counted; None where time alone ends the run."""
        return Budget(self.config, self).max_steps

    def tokens(self, steps: int) -> int:
        """Return the tokens that so many steps read, padding left out, as the run counts them."""
        order = cast("Order", self.feed.stream)
        epochs, index = order.locate(steps * self.batch_blocks)
        first = steps * self.batch_blocks - index
        rest = range(first, first + index)
        parts = (rest[start : start + BLOCKS_AT_ONCE] for start in range(0, index, BLOCKS_AT_ONCE))
        return epochs * self.tokens_per_epoch + sum(int(order.batch(part).num_tokens.sum()) for part in parts)


def count_rows(
    config: RowTrainingConfig,
    read: Callable[[Path], list[Path]],
    kind: Row,
    model: Path,
    engine: Engine,
    console: Console,
    place: Path,
) -> Counted:
    """Read, encode and lay out the rows of a run, as `preparation.ready` does; of the model no weight is loaded.

    Args:
        config: The run's.
        read: Reads the rows into folders of examples, given a folder to work in.
        kind: What the rows are.
        model: Where the model is.
        engine: Workers.
        console: For progress and warnings.
        place: Folder to work in.

    Raises:
        DataError: No row is left to train on.
    """
    corpora = read(place)
    begun = config.objective.of_model(model)
    objective = begun.settle(kind, notice(corpora, kind, begun))
    config, tokenizer = fit(config, objective, model, console)
    vocabulary = vocabulary_of(tokenizer)
    objective.check(vocabulary)
    tokenizer.save_pretrained(place / "tokenizer")
    columns = objective.columns(vocabulary)
    encoder = Encoder(
        objective, kind, columns, config.context_length, place / "tokenizer", tokenizer, overlength=config.overlength,
        positions=position_limit(read_config(model)),
    )  # fmt: skip
    counts = encode(corpora, encoder, place / "rows", engine, console, config.validation_fraction)
    train, held_out = (EncodedRows.open(place / "rows" / side) for side in ("train", "validation"))
    feed = make_feed(
        objective, train, held_out, context_length=config.context_length, batch_rows=config.batch_rows,
        seed=config.seed, pad_id=vocabulary.padding, apart=lies_apart(objective, config.adapter),
    )  # fmt: skip
    return Counted(
        config,
        objective,
        feed,
        config.batch_blocks if feed.same_width else config.batch_rows,
        counts["train"].rows,
        int(held_out.num_tokens.sum()),
        int(train.num_tokens.sum()),
        int(train.num_tokens.max()),
        vocabulary.size,
        known_size(config, model),
    )
