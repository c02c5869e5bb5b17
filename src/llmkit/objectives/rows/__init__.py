"""Family "row_objective": what a model learns from labelled rows, one module each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from llmkit.data.packing import IGNORED, LONG, Batch, Column, EncodedRows, Example, LeftOut, Outcome
from llmkit.objectives import Objective

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.core.console import Console
    from llmkit.core.page import Page
    from llmkit.data.feeds import Feed
    from llmkit.data.rows import Row
    from llmkit.modeling.vocabulary import Vocabulary
    from llmkit.objectives.rows._written import Question
    from llmkit.runtimes import Written

__all__ = [
    "IGNORED",
    "LEARNED_MARK",
    "LONG",
    "Column",
    "Example",
    "LeftOut",
    "Outcome",
    "RowObjective",
    "padded_tensors",
    "shortened",
]


LEARNED_MARK = "learned"
"""Mark of a token that is predicted, where that is all there is to say."""
NAMES_SHOWN = 12


class RowObjective(Objective):
    """An objective over labelled rows.

    Attributes:
        rows: Names of the kinds of rows it reads.
        layout: How rows lie in a batch: `pack`, several in a block, kept apart; `bucket`, one a block, with others
            of like length; `pad`, one a block, with any others.
        target: What a target is called, for people.
        labelled: What it notices of the rows are labels, which are counted for people.
        notes: What is said of the things that examples are noted for, by the names of these.
        expands: Why a row may become several examples, for people.
        splits: A row that is too long can be made several, see `shorter`.
    """

    rows: ClassVar[tuple[str, ...]]
    layout: ClassVar[Literal["pack", "pad", "bucket"]] = "bucket"
    target: ClassVar[str] = "labels"
    labelled: ClassVar[bool] = True
    notes: ClassVar[Mapping[str, str]] = {}
    expands: ClassVar[str] = "some have several parts"
    splits: ClassVar[bool] = False

    @property
    def learns_answers(self) -> bool:
        """Whether what is learned of a sequence are answers to what stands before them; else it is all of it."""
        return True

    def check(self, vocabulary: Vocabulary) -> None:
        """Take any tokenizer."""

    def suit(self, tokenizer: PreTrainedTokenizerFast, config: PreTrainedConfig) -> None:
        """Refuse a model that is not for it, by its config, and give its tokenizer what it is to be served with.

        Raises:
            ConfigError: The message says which models are.
        """

    def equip(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[str]:  # noqa: ARG002
        """Write to the configs of a loaded model what belongs to the task; return what had to be changed, in words."""
        return []

    def questions(self, rows: EncodedRows, limit: int) -> Sequence[Question]:  # noqa: ARG002 - most ask nothing
        """Return what the model is to write about held-out rows at every validation.

        Args:
            rows: The held-out rows.
            limit: Positions of the model, of prompt and answer where one stands behind the other.
        """
        return ()

    def judge(self, questions: Sequence[Question], answers: Sequence[Written]) -> dict[str, float]:  # noqa: ARG002
        """Return the measures of what was written."""
        return {}

    def columns(self, vocabulary: Vocabulary) -> dict[str, Column]:
        """Return how the columns of its examples are kept."""
        return {"input_ids": Column(pad=vocabulary.padding), "labels": Column(pad=IGNORED)}

    def notice(self, row: Mapping[str, Any]) -> Iterable[Any]:  # noqa: ARG002 - most need to know nothing
        """Yield what has to be known of all rows before the first is encoded, such as their labels."""
        return ()

    def settle(self, kind: Row, noticed: Counter[Any]) -> Self:  # noqa: ARG002 - most have nothing to settle
        """Return the objective with what the data decides, such as the names of the labels.

        Raises:
            ConfigError, DataError: The data does not suit it.
        """
        return self

    def of_model(self, path: Path) -> Self:  # noqa: ARG002 - most need no more than its weights
        """Return the objective with what the model's directory decides, such as how its vectors are made.

        Raises:
            ConfigError, DataError: The model does not suit it.
        """
        return self

    def add_rows(
        self,
        corpora: list[Path],
        kind: Row,  # noqa: ARG002 - most take the rows as they are
        model: Path,  # noqa: ARG002
        folder: Path,  # noqa: ARG002
        fraction: float,  # noqa: ARG002
        console: Console,  # noqa: ARG002
    ) -> list[Path]:
        """Return the folders of examples to train on: those that are given, or what is made of them, such as negatives.

        Args:
            corpora: Folders of examples.
            kind: What they are.
            model: Where the model is.
            folder: Where to work; what a killed run has done there is not done again.
            fraction: Share of the rows that validation gets, by `split_of`.
            console: For progress.
        """
        return corpora

    def facts(self) -> dict[str, str]:
        """Return what the card and the report say of what was learned, such as the labels' names."""
        return {}

    def encode(
        self, rows: Sequence[Mapping[str, Any]], kind: Row, tokenizer: PreTrainedTokenizerFast, limit: int
    ) -> Sequence[Outcome]:
        """Return what becomes of each row: an example or several, or why it is left out, which is counted and told.

        Args:
            rows: Rows of an examples artifact.
            kind: What they are.
            tokenizer: The model's.
            limit: Longest sequence, in tokens. Of a longer one `encode` cuts what may be cut, and says so (`cut`), or
                leaves it out as `LONG`; what ends a sequence and what is to be learned last are never cut.
        """
        raise NotImplementedError

    def shorter(
        self,
        row: Mapping[str, Any],  # noqa: ARG002 - see SFT
        kind: Row,  # noqa: ARG002
        fits: Callable[[Mapping[str, Any]], bool],  # noqa: ARG002
        *,
        split: bool,  # noqa: ARG002
    ) -> tuple[Sequence[Mapping[str, Any]], int] | None:
        """Return the rows that one which is too long becomes, and how many parts of it fit into none.

        None where `encode` itself cuts, or nothing may be cut. The parts are noted as `lost`, see `notes`.

        Args:
            row: The row.
            kind: What it is.
            fits: Whether a row is short enough.
            split: Make as many rows as all of it takes, where `splits`; else one.
        """
        return None

    def feed(self, feed: Feed, vocabulary: Vocabulary, seed: int) -> Feed:  # noqa: ARG002 - most take it as it is
        """Return what is trained on: the rows, or what is made of them as training goes, such as rollouts."""
        return feed

    def marks(self, example: Example, name: str) -> list[str]:
        """Return, for each id of a sequence of an example, what is learned of it, for people; empty for nothing.

        Here: labels stand at the position before the token that they are.
        """
        labels = example.columns.get("labels")
        if labels is None or np.size(labels) != np.size(example.columns[name]):
            return [""] * np.size(example.columns[name])
        learned = [False, *(np.asarray(labels)[:-1] != IGNORED).tolist()]
        return [LEARNED_MARK if known else "" for known in learned]

    def end_ids(self, tokenizer: PreTrainedTokenizerFast, rows: EncodedRows) -> list[int]:  # noqa: ARG002 - see SFT
        """Return the tokens at which generation stops, the tokenizer's EOS first."""
        return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]

    def describe(self, answers: Sequence[Any], page: Page) -> Sequence[tuple[int, str]]:  # noqa: ARG002 - see above
        """Write to a report what the answers to the held-out rows show; return those to be shown whole, and why."""
        return ()


def padded_tensors(batch: Batch, *names: str) -> dict[str, torch.Tensor]:
    """Return `input_ids`, `attention_mask` and other ragged columns of the same length, cut to the longest row.

    Args:
        batch: Rows with `input_ids`, `[rows, time]`, and `input_ids_length`.
        names: The other columns.
    """
    import torch

    lengths = batch.input_ids_length
    width = int(lengths.max())
    mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
    arrays = {name: batch.columns[name][:, :width] for name in ("input_ids", *names)}
    return {
        name: torch.from_numpy(np.ascontiguousarray(array))
        for name, array in {**arrays, "attention_mask": mask}.items()
    }


def shortened(names: Sequence[str]) -> str:
    """Return names in one line, the first of many."""
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
