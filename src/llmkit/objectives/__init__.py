"""Family "objective": what a model is trained to do, one module each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llmkit.core.registry import Part

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.data.packing import Batch
    from llmkit.modeling.tokenizer import SpecialIds

Tensors = Mapping[str, "torch.Tensor"]


class Objective(Part):
    """A training objective.

    Attributes:
        layout: What it reads: `block`, packed documents of a token artifact, or `row`, labelled examples.
        auto_class: The transformers auto class its models are built with.
    """

    layout: ClassVar[Literal["block", "row"]] = "block"
    auto_class: ClassVar[str] = "AutoModelForCausalLM"

    def specials(self, ids: SpecialIds) -> tuple[list[int], list[int]]:
        """Return the ids put before and after every document of a `block` layout."""
        raise NotImplementedError

    def encode(self, row: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast) -> tuple[NDArray[Any], NDArray[Any]]:
        """Turn a labelled row of a `row` layout into ids and labels, `labels[t]` being the target of `ids[t]`."""
        raise NotImplementedError

    def collate(self, batch: Batch) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
        """Return the tensors of a batch and, per part of the loss, how many targets it has."""
        raise NotImplementedError

    def loss(self, model: PreTrainedModel, batch: Tensors) -> dict[str, tuple[torch.Tensor, float]]:
        """Return, per part, the loss summed over the targets and the weight of the part."""
        raise NotImplementedError


class NextToken(Objective):
    """Objectives that predict the next token of packed blocks; they differ in what they read and mask."""

    def collate(self, batch: Batch) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
        """Return `input_ids`, `labels` and `position_ids`, each `[blocks, context_length]` int64."""
        import torch

        tensors = {name: torch.from_numpy(getattr(batch, name)) for name in ("input_ids", "labels", "position_ids")}
        return tensors, {"tokens": int((batch.labels >= 0).sum())}

    def loss(self, model: PreTrainedModel, batch: Tensors) -> dict[str, tuple[torch.Tensor, float]]:
        """Return the cross-entropy of all targets, in nats."""
        from llmkit.modeling.losses import causal_lm_loss

        return {"tokens": (causal_lm_loss(model, batch), 1.0)}
