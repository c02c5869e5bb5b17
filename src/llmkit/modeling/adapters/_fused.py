"""peft's LoRA layers, with a forward pass of fewer passes over memory where all that it does is LoRA itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora.layer import Linear

from llmkit.modeling.frozen import frozen_linear

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class FusedLinear(Linear):
    """peft's layer, the same in all but its forward pass; what that does not know is left to peft's own."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return what peft's layer does, up to rounding."""
        name = self._active_adapter[0] if isinstance(self._active_adapter, list) else self._active_adapter
        if args or kwargs or self.disable_adapters or self.merged or torch.compiler.is_compiling():
            found: torch.Tensor = super().forward(x, *args, **kwargs)
            return found
        base, down, up = self.base_layer, self.lora_A[name].weight, self.lora_B[name].weight
        assert isinstance(base, torch.nn.Linear) and isinstance(down, torch.Tensor) and isinstance(up, torch.Tensor)
        return frozen_linear(x, base, down, up, self.scaling[name])


def fuse(model: PreTrainedModel) -> None:
    """Give all layers of plain LoRA beside linear ones the faster forward pass; DoRA and dropout keep peft's own."""
    for layer in model.modules():
        if type(layer) is not Linear or not isinstance(layer.base_layer, torch.nn.Linear) or layer.lora_variant:
            continue
        plain = all(isinstance(dropout, torch.nn.Identity) for dropout in layer.lora_dropout.values())
        if plain and len(layer.lora_A) == 1 and not any(layer.lora_bias.values()):
            layer.__class__ = FusedLinear
