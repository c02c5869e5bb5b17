"""Causal language modelling: predict every next token (Radford et al. 2018, "Improving Language Understanding")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from llmkit.objectives.documents import Collated, Losses, NextTokenOfDocuments, Tensors

if TYPE_CHECKING:
    from llmkit.data.packing import Batch
    from llmkit.modeling.companions import Models
    from llmkit.modeling.vocabulary import Vocabulary


class CausalLM(NextTokenOfDocuments):
    """Predict each next token of packed documents, `BOS tokens EOS` each, isolated from each other by positions."""

    z_loss: float = Field(0.0, ge=0)
    """Weight of the squared log of the softmax's normalizer, which keeps logits from drifting (PaLM: 1e-4)."""

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:
        """Return the tensors of next tokens; the z-loss has as many targets."""
        tensors, counts = super().collate(batch, vocabulary, seed)
        return tensors, {**counts, "z": counts["tokens"]} if self.z_loss else counts

    def loss(self, models: Models, batch: Tensors) -> Losses:
        """Return the cross-entropy of all targets in nats and, while training, the z-loss."""
        if not self.z_loss:
            return super().loss(models, batch)
        from llmkit.modeling.plain_head import causal_lm_losses

        tokens, squares = causal_lm_losses(models.main, batch, z_loss=self.z_loss)
        return {"tokens": (tokens, 1.0), "z": (squares, self.z_loss if models.main.training else 0.0)}
