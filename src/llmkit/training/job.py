"""What the training loop is given: models, an objective, and a feed of data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.data.feeds import Feed
    from llmkit.modeling.companions import Models
    from llmkit.modeling.vocabulary import Vocabulary
    from llmkit.objectives import Objective
    from llmkit.objectives.rows._written import Question


@dataclass(frozen=True)
class Job:
    """What is trained on what.

    Attributes:
        models: The model, initialized, and those beside it.
        objective: What it is trained to do.
        vocabulary: Its tokenizer's.
        feed: The data.
        batch_blocks: Blocks per optimizer step.
        resume_from: A checkpoint to go on from instead of the newest in the build's folder.
        title: Headline of the report.
        facts: What is known before training, for the report.
        tokenizer: For the texts that the model writes; None for none.
        prompts: Ids that those texts begin with.
        questions: What the model is to write about held-out rows, for the objective to judge.
        ends: Ids at which it stops.
    """

    models: Models
    objective: Objective
    vocabulary: Vocabulary
    feed: Feed
    batch_blocks: int
    resume_from: Path | None = None
    title: str = "Training report"
    facts: dict[str, str] = field(default_factory=dict)
    tokenizer: PreTrainedTokenizerFast | None = None
    prompts: list[list[int]] = field(default_factory=list)
    questions: Sequence[Question] = ()
    ends: Sequence[int] = ()

    @property
    def batch_tokens(self) -> int:
        """Tokens per optimizer step, padding included; where blocks differ in width, their mean."""
        return max(1, round(self.batch_blocks * self.feed.block_tokens))
