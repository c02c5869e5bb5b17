"""A safetensors directory that transformers, vLLM and text-generation-inference load (`from_pretrained`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from llmkit.exporters import Exporter, Limits
from llmkit.runtimes import Runtime
from llmkit.runtimes.transformers import Transformers

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Answer


class Safetensors(Exporter):
    """Write the weights, the configs, the tokenizer and its chat template."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the weights on disk."""
    max_shard_size: str = "50GB"
    """Largest file of weights, `500MB` or `4GB`; more go into several, with an index."""
    max_logit_difference: float | None = Field(None, ge=0)
    """Largest difference of a logit that passes; null for 0.0001, 0.2 and 0.05 of the logits' standard
    deviation in float32, bfloat16 and float16."""

    @field_validator("max_shard_size")
    @classmethod
    def _size(cls, size: str) -> str:
        if not re.fullmatch(r"[1-9]\d*(KB|MB|GB)", size):
            raise ValueError("a size is a whole number and KB, MB or GB: 4GB")
        return size

    def write(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path
    ) -> Sequence[str] | None:
        """Round the model in place, one tensor after the other, and write it."""
        import torch

        from llmkit.modeling.generation import mend_generation

        left = mend_generation(model)
        model.to(getattr(torch, self.dtype)).save_pretrained(directory, max_shard_size=self.max_shard_size)
        tokenizer.save_pretrained(directory)
        return [f"the generation config is without what does nothing in it: {', '.join(left)}"] if left else None

    def runtime(self) -> Runtime:
        """Return transformers alone: none of llmkit's own loading code is in the way."""
        return Transformers(plain=True)

    def limits(self, answer: Answer, spread: float, config: PreTrainedConfig) -> Limits:  # noqa: ARG002
        """Return the limits of this number format."""
        found = Limits.of(self.dtype, answer, spread)
        if self.max_logit_difference is None:
            return found
        return Limits(difference=self.max_logit_difference, exact=found.exact)
