"""Masked language modelling (Devlin et al. 2018, "BERT"), masked anew every epoch (Liu et al. 2019, "RoBERTa")."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from llmkit.data.randomness import row_generators
from llmkit.objectives.documents import Collated, Losses, Tensors
from llmkit.objectives.documents._masking import Masking

if TYPE_CHECKING:
    from llmkit.data.packing import Batch
    from llmkit.modeling.companions import Models
    from llmkit.modeling.vocabulary import Vocabulary


class MaskedLM(Masking):
    """Predict masked tokens from both sides, in documents `[CLS] tokens [SEP]` isolated by an attention mask.

    RoBERTa's full sentences: no second part and no next-sentence prediction.
    """

    head: ClassVar[str] = "masked_lm"

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

    def loss(self, models: Models, batch: Tensors) -> Losses:
        """Return the cross-entropy of the masked tokens, in nats."""
        from llmkit.modeling.head_loss import head_loss
        from llmkit.objectives.documents._blocks import attention_mask, model_positions, same_document

        model, positions = models.main, batch["position_ids"]
        inputs = {
            "input_ids": batch["input_ids"],
            "position_ids": model_positions(model, positions),
            "attention_mask": attention_mask(model, same_document(positions)),
        }
        return {"tokens": (head_loss(model, inputs, batch["labels"], gather=True)[0], 1.0)}
