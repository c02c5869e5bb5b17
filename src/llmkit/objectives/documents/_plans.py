"""How the documents of an objective become blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from llmkit.core.errors import ConfigError
from llmkit.data.mixture import PackingPlan

if TYPE_CHECKING:
    from llmkit.modeling.vocabulary import Vocabulary
    from llmkit.objectives.documents import DocumentObjective, Packing

PackingChoice = Literal["auto", "stream", "best_fit", "pad"]


def packing_of(objective: DocumentObjective, packing: PackingChoice) -> Packing:
    """Return the packing mode, `auto` resolved.

    Raises:
        ConfigError: The objective cannot use the one that is asked for.
    """
    allowed = objective.packings
    if packing == "auto":
        return allowed[0]
    if packing not in allowed:
        raise ConfigError(
            f"packing: {objective.type_name} cannot use {packing}",
            hint=f"use {' or '.join(allowed)}, or leave it out",
        )
    return packing


def plan_of(
    objective: DocumentObjective, vocabulary: Vocabulary, *, context_length: int, packing: PackingChoice
) -> PackingPlan:
    """Return how the documents of an objective become blocks."""
    prefix, suffix = objective.around(vocabulary)
    return PackingPlan(
        objective.raw_length(context_length),
        packing_of(objective, packing),
        objective.layout,
        prefix,
        suffix,
        pad_id=vocabulary.pad or 0,
        random_second=objective.random_second,
    )
