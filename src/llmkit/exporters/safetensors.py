"""A safetensors directory that transformers, vLLM and text-generation-inference load (`from_pretrained`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from llmkit.exporters import Exporter
from llmkit.runtimes import Runtime
from llmkit.runtimes.transformers import Transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Answer

# Rounding the weights moves the logits: in float32 by the order of sums only, in bfloat16 by about 2^-8 and in float16
# by 2^-11 of their spread. Relative, since a limit that suits a large model's logits would pass a small model of zeros.
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.2, "float16": 0.05}


class Safetensors(Exporter):
    """Write `model.safetensors`, the configs, the tokenizer and its chat template."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the weights on disk."""
    max_logit_difference: float | None = Field(None, ge=0)
    """Largest difference of a logit that passes; null for 0.001, 0.2 and 0.05 of the logits' standard
    deviation in float32, bfloat16 and float16."""

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
        """Round the model in place, one tensor after the other, and write it."""
        import torch

        model.to(getattr(torch, self.dtype)).save_pretrained(directory)
        tokenizer.save_pretrained(directory)

    def runtime(self) -> Runtime:
        """Return transformers alone: none of llmkit's own loading code is in the way."""
        return Transformers(plain=True)

    def tolerance(self, answer: Answer, spread: float) -> float:  # noqa: ARG002 - rounding is the same for all
        """Return the limit for this number format."""
        return TOLERANCES[self.dtype] * spread if self.max_logit_difference is None else self.max_logit_difference

    @property
    def exact(self) -> bool:
        """Whether nothing is rounded."""
        return self.dtype == "float32"
