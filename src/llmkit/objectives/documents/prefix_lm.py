"""Prefix language modelling: read a prefix from both sides, predict the rest (Raffel et al. 2020, "T5", 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from llmkit.data.packing import IGNORED
from llmkit.data.randomness import row_generators
from llmkit.objectives.documents import Collated, DocumentObjective, Losses, NextTokenOfDocuments, Tensors
from llmkit.objectives.documents._blocks import pieces

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.data.packing import Batch
    from llmkit.modeling.companions import Models
    from llmkit.modeling.vocabulary import Vocabulary


class PrefixLM(NextTokenOfDocuments):
    """Each document in a block is cut at a random place; a decoder sees the part before it whole, by its mask."""

    scores_text: ClassVar[bool] = False

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:  # noqa: ARG002 - no token is added
        """Return the tensors of a batch.

        The prefix of a document of n tokens has 1 to n - 1 of them, each length alike, so that there is a target.

        Returns:
            `input_ids`, `labels`, `position_ids` (int64) and `prefix` (bool), each `[blocks, context_length]`.
        """
        import torch

        labels, prefix = batch.labels.copy(), np.zeros(batch.labels.shape, np.bool_)
        for row, generator in enumerate(row_generators(seed, batch.numbers)):
            for start, stop in pieces(batch, row):
                if stop - start > 1:
                    cut = start + int(generator.integers(1, stop - start))
                    prefix[row, start:cut] = True
                    labels[row, start : cut - 1] = IGNORED
        arrays = {"input_ids": batch.input_ids, "labels": labels, "position_ids": batch.position_ids, "prefix": prefix}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, {"tokens": int((labels >= 0).sum())}

    def inputs(self, model: PreTrainedModel, batch: Tensors) -> dict[str, Any]:
        """Return ids, positions, and a mask by which a prefix is seen whole."""
        import torch

        from llmkit.objectives.documents._blocks import attention_mask, same_document

        positions = batch["position_ids"]
        time = torch.arange(positions.shape[1], device=positions.device)
        visible = (time[None, :] <= time[:, None]) | batch["prefix"][:, None, :]
        mask = attention_mask(model, same_document(positions) & visible)
        return {**super().inputs(model, batch), "attention_mask": mask}

    def loss(self, models: Models, batch: Tensors) -> Losses:
        """Return the cross-entropy of what follows the prefixes, in nats."""
        return DocumentObjective.loss(self, models, batch)  # a causal loss knows no masks
