"""A toy: the weights in NumPy's own format, proven by a runtime without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.runtimes.numpy_llama import NumpyLlama

from llmkit.exporters import Exporter
from llmkit.runtimes import Runtime

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Answer


class Packed(Exporter):
    """Write `weights.npz`, the config and the tokenizer."""

    proven_by: NumpyLlama = NumpyLlama()
    """What loads it."""
    read_by: list[NumpyLlama] = []
    """What reads its texts and chats besides."""

    def supports(self, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> str | None:
        """Llamas whose heads all have keys of their own."""
        if config.model_type != "llama" or config.num_key_value_heads != config.num_attention_heads:
            return "it is no llama, or its heads share keys"
        return None

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
        """Write the model."""
        import numpy as np

        weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        np.savez(directory / "weights.npz", **weights)
        model.config.save_pretrained(directory)
        tokenizer.save_pretrained(directory)

    def runtime(self) -> Runtime:
        """Return Llama in NumPy."""
        return self.proven_by

    def readers(self) -> Sequence[Runtime]:
        """Return what else reads it."""
        return self.read_by

    def tolerance(self, answer: Answer, spread: float) -> float:
        """Return what another order of sums may change."""
        return 1e-3 * spread
