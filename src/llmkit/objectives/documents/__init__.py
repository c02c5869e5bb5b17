"""Family "document_objective": what a model learns from packed documents, one module each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llmkit.objectives import Collated, Losses, NextToken, Objective, Packing, Tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.companions import Models
    from llmkit.modeling.head_loss import Judged
    from llmkit.modeling.vocabulary import Vocabulary

__all__ = ["Collated", "DocumentObjective", "Losses", "NextTokenOfDocuments", "Packing", "Tensors"]


class DocumentObjective(Objective):
    """An objective over the documents of token artifacts.

    Attributes:
        layout: What it reads: `block`, packed documents; `pair`, two parts of a document a block.
        packings: The packing modes it allows, the default first.
        random_second: Half of the second parts of a `pair` layout come from another document.
        gathers: What stands between the model's body and its output layer is run at the targets only.
    """

    layout: ClassVar[Literal["block", "pair"]] = "block"
    packings: ClassVar[tuple[Packing, ...]] = ("stream", "best_fit", "pad")
    random_second: ClassVar[bool] = False
    gathers: ClassVar[bool] = False

    def check_blocks(
        self, model: PreTrainedModel, vocabulary: Vocabulary, *, context_length: int, packing: Packing
    ) -> None:
        """Refuse what could fail or go wrong at a later block: most objectives take any.

        Raises:
            ConfigError, DataError: The model or the tokenizer does not suit blocks of this length and packing.
        """

    def own_tokens(self) -> tuple[str, ...]:
        """Return special tokens that it brings along: fine-tuning adds them to a tokenizer that lacks them."""
        return ()

    def around(self, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
        """Return the ids put before and after every document of a `block` layout."""
        raise NotImplementedError

    def raw_length(self, context_length: int) -> int:
        """Return how many tokens a packer cuts for one block of `context_length` model inputs."""
        return context_length

    def inputs(self, model: PreTrainedModel, batch: Tensors) -> dict[str, Any]:
        """Return what the model is called with; what comes out at each position is to be the batch's `labels`."""
        raise NotImplementedError

    def loss(self, models: Models, batch: Tensors) -> Losses:
        """Return the cross-entropy of all targets, in nats."""
        from llmkit.modeling.head_loss import head_loss

        inputs = self.inputs(models.main, batch)
        return {"tokens": (head_loss(models.main, inputs, batch["labels"], gather=self.gathers)[0], 1.0)}

    def judge(self, models: Models, batch: Tensors) -> dict[str, Judged]:
        """Return what the parts of the loss are made of, outside of training: each target's loss, and which are hit.

        For a model that is evaluated. An objective whose loss is not that of `inputs` has one of its own.
        """
        from llmkit.modeling.head_loss import Judged, target_losses

        labels = batch["labels"]
        inputs = self.inputs(models.main, batch)
        losses, hits, _ = target_losses(models.main, inputs, labels, gather=self.gathers)
        return {"tokens": Judged(losses, hits, (labels >= 0).nonzero(as_tuple=True)[0])}


class NextTokenOfDocuments(NextToken, DocumentObjective):
    """Next tokens of documents, each with what starts and ends it."""

    def around(self, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
        """Return BOS (else CLS, else EOS) before a document and EOS, where there is one, after it."""
        return [vocabulary.need("bos", self.type_name)], [] if vocabulary.eos is None else [vocabulary.eos]

    def inputs(self, model: PreTrainedModel, batch: Tensors) -> dict[str, Any]:  # noqa: ARG002 - the same for all
        """Return ids and positions, which restart with every document."""
        return {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"], "use_cache": False}
