"""All weights are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.modeling.adapters import Adapter, Targets, trained_parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head

ALL = "all weights"


class Full(Adapter):
    """Train all weights: the model itself, not wrapped in anything."""

    def wrap(self, model: PreTrainedModel, head: Head, *, seed: int = 0, grown: range = range(0)) -> None:
        """Leave the model as it is."""

    def describe(self, model: PreTrainedModel) -> Targets:
        """Say that all is trained, but for what an architecture computes (positions of sines)."""
        return Targets(ALL, trained_parameters(model), sum(p.numel() for p in model.parameters()))
