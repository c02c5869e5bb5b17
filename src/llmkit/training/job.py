"""What the training loop is given: a model, an objective, and blocks of data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.data.packing import Batch, Packer
    from llmkit.modeling.vocabulary import Vocabulary
    from llmkit.objectives import Objective


class Stream(Protocol):
    """The endless stream of training blocks, numbered k = 0, 1, 2, ...: an `Order` or a `Mixture`."""

    def blocks(self, numbers: Sequence[int]) -> Batch:
        """Return any blocks of the stream in the order asked for."""

    def epoch_of(self, k: int) -> float:
        """Return how many epochs the first k blocks are."""

    def blocks_in(self, epochs: float, most: int | None = None) -> int:
        """Return how many blocks so many epochs are; counting stops beyond `most`."""

    def documents(self, numbers: Sequence[int]) -> list[str]:
        """Return the ids of the documents that the blocks are of."""


@dataclass(frozen=True)
class Validation:
    """Held-out data: every target is scored exactly once.

    Attributes:
        packer: The blocks, in order.
        num_bytes: UTF-8 bytes that the targets stand for.
    """

    packer: Packer
    num_bytes: int


@dataclass(frozen=True)
class Job:
    """What is trained on what.

    Attributes:
        model: The model, initialized.
        objective: What it is trained to do.
        vocabulary: Its tokenizer's.
        data: The training blocks.
        validation: Held-out blocks, if there are any.
        resume_from: A checkpoint to go on from instead of the newest in the build's folder.
        title: Headline of the report.
        facts: What is known before training, for the report.
        tokenizer: For the texts that the model writes; None for none.
        prompts: Ids that those texts begin with.
    """

    model: PreTrainedModel
    objective: Objective
    vocabulary: Vocabulary
    data: Stream
    validation: Validation | None = None
    resume_from: Path | None = None
    title: str = "Training report"
    facts: dict[str, str] = field(default_factory=dict)
    tokenizer: PreTrainedTokenizerFast | None = None
    prompts: list[list[int]] = field(default_factory=list)
