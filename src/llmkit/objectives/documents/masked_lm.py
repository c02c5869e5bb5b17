"""Masked language modelling (Devlin et al. 2018, "BERT"), masked anew every epoch (Liu et al. 2019, "RoBERTa")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from llmkit.data.randomness import row_generators
from llmkit.objectives.documents import Collated, Tensors
from llmkit.objectives.documents._masking import Masking

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.data.packing import Batch
    from llmkit.modeling.vocabulary import Vocabulary


class MaskedLM(Masking):
    """Predict masked tokens from both sides, in documents `[CLS] tokens [SEP]` isolated by an attention mask.

    RoBERTa's full sentences: no second part and no next-sentence prediction.
    """

    head: ClassVar[str] = "masked_lm"
    gathers: ClassVar[bool] = True

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse a tokenizer without MASK, or without CLS and SEP (BOS and EOS will do)."""
        vocabulary.need("mask", self.type_name)
        self.around(vocabulary)

    def around(self, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
        """Return CLS (else BOS) and SEP (else EOS)."""
        start = vocabulary.bos if vocabulary.cls is None else vocabulary.cls
        end = vocabulary.eos if vocabulary.sep is None else vocabulary.sep
        return (
            [vocabulary.need("cls", self.type_name) if start is None else start],
            [vocabulary.need("sep", self.type_name) if end is None else end],
        )

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:
        """Return `input_ids`, `labels` and `position_ids`, each `[blocks, context_length]` int64."""
        import torch

        input_ids, labels = batch.input_ids.copy(), np.full_like(batch.labels, -100)
        for row, generator in enumerate(row_generators(seed, batch.numbers)):
            part = (row, slice(0, int(batch.num_tokens[row])))
            input_ids[part], labels[part] = self.mask(
                batch.input_ids[part], batch.position_ids[part], vocabulary, generator
            )
        tensors = {"input_ids": input_ids, "labels": labels, "position_ids": batch.position_ids}
        return {name: torch.from_numpy(array) for name, array in tensors.items()}, {"tokens": int((labels >= 0).sum())}

    def inputs(self, model: PreTrainedModel, batch: Tensors) -> dict[str, Any]:
        """Return ids, positions as the model numbers them, and the mask that keeps documents apart."""
        from llmkit.objectives.documents._blocks import attention_mask, model_positions, same_document

        positions = batch["position_ids"]
        return {
            "input_ids": batch["input_ids"],
            "position_ids": model_positions(model, positions),
            "attention_mask": attention_mask(model, same_document(positions)),
        }
