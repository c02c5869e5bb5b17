"""Prefix tuning (Li & Liang 2021, "Prefix-tuning: optimizing continuous prompts for generation")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.core.errors import ConfigError
from llmkit.modeling.adapters._peft import lean
from llmkit.modeling.adapters._virtual import Virtual

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head

SCALE = 0.02
"""Spread of the keys and values at the start."""


class Prefix(Virtual):
    """Train keys and values in every layer, as of virtual tokens that all of a row looks at; the model stays as it is.

    More numbers than `prompt`, and each layer is reached at once; for causal models with caches of all keys and values.
    They cannot be merged.
    """

    peft_type: ClassVar[str | None] = "PREFIX_TUNING"
    words: ClassVar[str] = "virtual keys and values of every layer"

    def wrap(self, model: PreTrainedModel, head: Head, *, seed: int = 0, grown: range = range(0)) -> None:
        """Freeze the model but for new heads, and have its layers begin with the keys and values.

        Raises:
            ConfigError: Its layers keep no cache of all keys and values: those of encoders, of windows and of scans.
        """
        if not (model.config.is_encoder_decoder or keeps_all(model)):
            raise ConfigError(
                f"adapter: prefix is for causal models whose layers keep all keys and values, and a"
                f" {type(model).__name__} does not",
                "adapter=prompt",
            )
        super().wrap(model, head, seed=seed, grown=grown)

    def start(self, model: PreTrainedModel) -> torch.Tensor:
        """Return small random keys and values, `[tokens, layers * 2 * heads * head_dim]` as peft has them."""
        import torch

        layers, heads, size = _shape(model)
        device = model.get_input_embeddings().weight.device
        return torch.randn(self.tokens, layers * 2 * heads * size, device=device) * SCALE

    def put_before(self, model: PreTrainedModel, vectors: torch.Tensor, inputs: dict[str, Any], past: int) -> int:
        """Fill an empty cache with the keys and values."""
        from transformers import DynamicCache

        if past:
            return 0
        rows = inputs.get("input_ids")
        rows = inputs["inputs_embeds"] if rows is None else rows
        cache = inputs.get("cache")
        if cache is None:
            cache = inputs["cache"] = DynamicCache(config=model.config)
        layers, heads, size = _shape(model)
        dtype = model.get_input_embeddings().weight.dtype
        both = vectors.to(dtype).view(self.tokens, layers, 2, heads, size).permute(1, 2, 3, 0, 4)
        for number, (keys, values) in enumerate(both):
            wide = [part[None].expand(len(rows), -1, -1, -1) for part in (keys, values)]
            cache.update(*wide, number)
        return 0

    def peft_config(self, model: PreTrainedModel) -> Any:
        """Return peft's config."""
        with lean():
            from peft import PrefixTuningConfig

        layers, heads, size = _shape(model)
        return PrefixTuningConfig(
            num_virtual_tokens=self.tokens, token_dim=heads * size, num_transformer_submodules=1,
            num_attention_heads=heads, num_layers=layers, encoder_hidden_size=heads * size,
        )  # fmt: skip


def keeps_all(model: PreTrainedModel) -> bool:
    """Tell whether a model looks back alone and its layers keep all keys and values, so that more can stand before."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    looks_back = any(getattr(module, "is_causal", None) is True for module in model.base_model.modules())
    return looks_back and all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def _shape(model: PreTrainedModel) -> tuple[int, int, int]:
    """Return how many layers there are, how many heads of keys each has, and their size."""
    config = model.config.get_text_config(decoder=True)
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return config.num_hidden_layers, getattr(config, "num_key_value_heads", None) or heads, size
