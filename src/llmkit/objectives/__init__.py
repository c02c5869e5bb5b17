"""What a model is trained to do: two families, over packed documents and over labelled rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from llmkit.core.registry import Family, Part

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from llmkit.data.packing import Batch
    from llmkit.modeling.heads import Head
    from llmkit.modeling.vocabulary import Vocabulary

Packing = Literal["stream", "best_fit", "pad"]
Tensors = Mapping[str, "torch.Tensor"]
Collated = tuple[dict[str, "torch.Tensor"], dict[str, int]]
Losses = dict[str, tuple["torch.Tensor", float]]


class Objective(Part):
    """A training objective.

    Attributes:
        head: Name of the head of its models.
        scores_text: Every token of the text is a target once, so that bits per byte mean something.
    """

    head: ClassVar[str] = "causal_lm"
    scores_text: ClassVar[bool] = False

    def model_head(self) -> Head:
        """Return the head of its models; an objective whose head has fields, such as label names, fills them in."""
        return cast("Head", Family("head").parse(self.head))

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse a tokenizer that lacks a token the objective needs.

        Raises:
            DataError: The message names the token, the directory and how to make it.
        """
        raise NotImplementedError

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:
        """Return the tensors of a batch and, per part of the loss, how many targets it has.

        Whatever is random is drawn per block from (seed, `batch.numbers`), so that it depends neither on the
        micro-batch nor on the process a block falls into. Targets are in `labels`, -100 where there is none.
        """
        raise NotImplementedError

    def loss(self, model: PreTrainedModel, batch: Tensors) -> Losses:
        """Return, per part, the loss in nats summed over the targets, and the weight of the part."""
        raise NotImplementedError


class NextToken(Objective):
    """Objectives that predict the next token of packed blocks; they differ in what they read and mask."""

    scores_text: ClassVar[bool] = True

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse a tokenizer with neither BOS nor EOS: nothing could start a document."""
        vocabulary.need("bos", self.type_name)

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:  # noqa: ARG002 - nothing is random
        """Return `input_ids`, `labels` and `position_ids`, each `[blocks, context_length]` int64."""
        import torch

        tensors = {name: torch.from_numpy(getattr(batch, name)) for name in ("input_ids", "labels", "position_ids")}
        return tensors, {"tokens": int((batch.labels >= 0).sum())}

    def loss(self, model: PreTrainedModel, batch: Tensors) -> Losses:
        """Return the cross-entropy of all targets, in nats."""
        from llmkit.modeling.losses import causal_lm_loss

        return {"tokens": (causal_lm_loss(model, batch), 1.0)}
