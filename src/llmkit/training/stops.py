"""Ask a model that was trained on answers whether it comes to an end: a few held-out prompts, written on from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.data.packing import IGNORED
from llmkit.modeling.architecture import one_line, position_limit
from llmkit.runtimes import Generate

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.core.console import Console
    from llmkit.data.packing import EncodedRows

PROMPTS = 8
LONGEST = 128
"""Tokens that are written after a prompt, at most: the probe is to take seconds."""
LOW = 0.5
"""Share of the answers that end, below which it is worth a warning."""


@dataclass(frozen=True)
class Probe:
    """What is asked.

    Attributes:
        prompts: Ids of each.
        budget: Tokens that an answer may have: twice the longest of theirs in the data.
    """

    prompts: list[list[int]]
    budget: int

    @classmethod
    def of(cls, rows: EncodedRows, room: int) -> Probe | None:
        """Take prompts out of rows, each what stands before the last answer; None where there are none.

        Args:
            rows: Rows with `input_ids` and, at each, the id that is learned to follow (`labels`).
            room: Positions of the model, or the context.
        """
        if not {"input_ids", "labels"} <= {*rows.ragged}:
            return None
        prompts, longest = [], 0
        for row in np.unique(np.linspace(0, len(rows) - 1, PROMPTS).astype(int)).tolist() if len(rows) else ():
            ids, labels = (np.asarray(rows.stretch(name, row, row + 1)) for name in ("input_ids", "labels"))
            learned = np.flatnonzero(labels != IGNORED)
            if not learned.size:
                continue
            first = learned[np.flatnonzero(np.diff(learned, prepend=-2) > 1)[-1]]
            prompts.append(ids[: first + 1].tolist())
            longest = max(longest, int(learned[-1] - first + 1))
        budget = min(LONGEST, max(16, 2 * longest), room - 1)
        return cls([ids[-(room - budget) :] for ids in prompts], budget) if prompts and budget > 0 else None

    def ask(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        ends: Sequence[int],
        dtype: torch.dtype,
        console: Console,
    ) -> dict[str, Any]:
        """Return how many answers end by themselves, for the manifest; a model that cannot be asked is no error."""
        from llmkit.runtimes._in_memory import InMemory
        from llmkit.training.samples import undisturbed

        running = InMemory(model, tokenizer, ends=ends, autocast=dtype, trained=True)
        try:
            with undisturbed(model):
                answers = running.answer([Generate(tuple(ids), self.budget) for ids in self.prompts])
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost the trained model
            console.warn(f"whether the model stops could not be found out: {one_line(error)}")
            return {}
        ended = sum(answer.ended for answer in answers)
        if ended < LOW * len(answers):
            console.warn(
                f"{len(answers) - ended} of {len(answers)} answers to held-out prompts do not end within"
                f" {self.budget} tokens: the model has not learned to stop"
            )
        return {"stops": {"prompts": len(answers), "ended": ended, "max_new_tokens": self.budget}}


Ask = Callable[["torch.dtype"], dict[str, Any]]
"""Asks a trained model, given the number format that it was trained in."""


def prober(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    held_out: EncodedRows,
    ends: Sequence[int],
    context_length: int,
    console: Console,
) -> Ask | None:
    """Return what asks a model once it is trained; None where there is nothing to ask."""
    probe = Probe.of(held_out, position_limit(model.config) or context_length)
    return None if probe is None else lambda dtype: probe.ask(model, tokenizer, ends, dtype, console)
