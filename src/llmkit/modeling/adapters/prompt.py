"""Prompt tuning (Lester et al. 2021, "The power of scale for parameter-efficient prompt tuning")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.modeling.adapters._peft import lean
from llmkit.modeling.adapters._virtual import Virtual

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Prompt(Virtual):
    """Train the embeddings of virtual tokens that stand before every row; the model stays as it is.

    The fewest numbers of all: one vector a token. They begin as those of tokens drawn from the vocabulary, and want
    learning rates of 1e-2 and more. They cannot be merged.
    """

    peft_type: ClassVar[str | None] = "PROMPT_TUNING"
    words: ClassVar[str] = "virtual tokens"

    def start(self, model: PreTrainedModel) -> torch.Tensor:
        """Return the embeddings of tokens drawn at random, `[tokens, dim]`."""
        import torch

        table = model.get_input_embeddings().weight
        if table.device.type == "meta":
            return torch.empty(self.tokens, table.shape[1], device="meta")
        drawn = torch.randint(len(table), (self.tokens,))
        found: torch.Tensor = table[drawn].detach().float().clone()
        return found

    def put_before(self, model: PreTrainedModel, vectors: torch.Tensor, inputs: dict[str, Any], past: int) -> int:
        """Put the vectors before the embeddings of the row, unless they are in the cache."""
        import torch

        if past:
            return 0
        ids, given = inputs.pop("input_ids", None), inputs.get("inputs_embeds")
        rows = model.get_input_embeddings()(ids) if given is None else given
        before = vectors.to(rows.dtype)[None].expand(len(rows), -1, -1)
        inputs["inputs_embeds"] = torch.cat([before, rows], 1)
        for name, value in (("position_ids", None), ("token_type_ids", 0)):
            tensor = inputs.get(name)
            if tensor is None:
                continue
            count = torch.arange(self.tokens, device=tensor.device) if value is None else tensor.new_zeros(self.tokens)
            inputs[name] = torch.cat([count.to(tensor.dtype)[None].expand(len(tensor), -1), tensor], 1)
        return self.tokens

    def peft_config(self, model: PreTrainedModel) -> Any:
        """Return peft's config."""
        with lean():
            from peft import PromptTuningConfig

        config = model.config.get_text_config()
        return PromptTuningConfig(
            num_virtual_tokens=self.tokens,
            token_dim=model.get_input_embeddings().weight.shape[1],
            num_transformer_submodules=1,
            num_attention_heads=config.num_attention_heads,
            num_layers=config.num_hidden_layers,
        )
