"""Family "document_objective": what a model learns from packed documents, one module each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from llmkit.objectives import Collated, Losses, NextToken, Objective, Packing, Tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.vocabulary import Vocabulary

__all__ = ["Collated", "DocumentObjective", "Losses", "NextTokenOfDocuments", "Packing", "Tensors"]


class DocumentObjective(Objective):
    """An objective over the documents of token artifacts.

    Attributes:
        layout: What it reads: `block`, packed documents; `pair`, two parts of a document a block.
        packings: The packing modes it allows, the default first.
        random_second: Half of the second parts of a `pair` layout come from another document.
    """

    layout: ClassVar[Literal["block", "pair"]] = "block"
    packings: ClassVar[tuple[Packing, ...]] = ("stream", "best_fit", "pad")
    random_second: ClassVar[bool] = False

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


class NextTokenOfDocuments(NextToken, DocumentObjective):
    """Next tokens of documents, each with what starts and ends it."""

    def around(self, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
        """Return BOS (else CLS, else EOS) before a document and EOS, where there is one, after it."""
        return [vocabulary.need("bos", self.type_name)], [] if vocabulary.eos is None else [vocabulary.eos]
