"""What a model is trained to do: two families, over packed documents and over labelled rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from llmkit.core.registry import Family, Part

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

    from llmkit.data.packing import Batch
    from llmkit.modeling.companions import Companion, Models
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
        couples: The loss couples all rows of a step, as in-batch negatives do: `outputs` are gathered over
            micro-batches and processes before `loss_of` sees them, and gradients flow back in a second pass.
        measured: Validations have `measures`, taken from the `answers` to every held-out row.
        headline: The measures that are shown while training.
        lower: The measures that are better the lower they are.
        chats: The tokenizer needs a chat template.
    """

    head: ClassVar[str] = "causal_lm"
    scores_text: ClassVar[bool] = False
    couples: ClassVar[bool] = False
    measured: ClassVar[bool] = False
    headline: ClassVar[tuple[str, ...]] = ()
    lower: ClassVar[tuple[str, ...]] = ("mse", "mae", "rmse", "perplexity", "ter", "wer", "cer")
    chats: ClassVar[bool] = False

    def model_head(self) -> Head:
        """Return the head of its models; an objective whose head has fields, such as label names, fills them in."""
        return cast("Head", Family("head").parse(self.head))

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse a tokenizer that lacks a token the objective needs.

        Raises:
            DataError: The message names the token, the directory and how to make it.
        """
        raise NotImplementedError

    def companions(self) -> Mapping[str, Companion]:
        """Return the models that the loss needs beside the trained one, by name, such as a frozen `reference`."""
        return {}

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:
        """Return the tensors of a batch and, per part of the loss, how many targets it has.

        Whatever is random is drawn per block from (seed, `batch.numbers`), so that it depends neither on the
        micro-batch nor on the process a block falls into. Targets are in `labels`, -100 where there is none.
        """
        raise NotImplementedError

    def loss(self, models: Models, batch: Tensors) -> Losses:
        """Return, per part, the loss summed over the targets (in nats, of likelihoods), and the weight of the part."""
        return self.loss_of(self.outputs(models, batch))

    def outputs(self, models: Models, batch: Tensors) -> Tensors:
        """Return what a loss of rows is computed from, `[rows, ...]` each, targets included."""
        raise NotImplementedError

    def loss_of(self, outputs: Tensors) -> Losses:
        """Return the parts of the loss of some rows; of all rows of a step, where the loss couples them."""
        raise NotImplementedError

    def answers(self, outputs: Tensors) -> Sequence[Any]:
        """Return, per row, what the measures need to know: the target and what the model says; plain, picklable."""
        raise NotImplementedError

    def measures(self, answers: Sequence[Any]) -> dict[str, float]:
        """Return the measures of all held-out rows by name, such as `accuracy`."""
        raise NotImplementedError

    def finish(self, config: PreTrainedConfig, answers: Sequence[Any], context_length: int) -> None:
        """Write into a trained model's config how it is to be asked, such as a threshold; most have nothing to say.

        Args:
            config: Of the model; changed in place, before it is saved.
            answers: Those to the held-out rows of the last validation; none without one.
            context_length: What the model was trained on.
        """


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

    def loss(self, models: Models, batch: Tensors) -> Losses:
        """Return the cross-entropy of all targets, in nats."""
        from llmkit.modeling.plain_head import causal_lm_loss

        return {"tokens": (causal_lm_loss(models.main, batch), 1.0)}
