"""peft's LoRA layers, with a forward pass of fewer passes over memory where all that it does is LoRA itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora.layer import Linear

from llmkit.modeling.frozen import frozen_linear, gated_linear

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class FusedLinear(Linear):
    """peft's layer, the same in all but its forward pass; what that does not know is left to peft's own."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return what peft's layer does, up to rounding."""
        parts = None if args or kwargs else self._parts()
        if parts is None:
            found: torch.Tensor = super().forward(x, *args, **kwargs)
            return found
        return frozen_linear(x, *parts)

    def gated(
        self, gate: torch.Tensor, value: torch.Tensor, activation: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Return what the layer makes of `activation(gate) * value`."""
        parts = self._parts()
        return self(activation(gate) * value) if parts is None else gated_linear(gate, value, activation, *parts)

    def _parts(self) -> tuple[torch.nn.Linear, torch.Tensor, torch.Tensor, float] | None:
        """Return the frozen layer, both of LoRA's matrices and their scale; None where the layer does otherwise now."""
        if self.disable_adapters or self.merged or torch.compiler.is_compiling():
            return None
        name = self._active_adapter[0] if isinstance(self._active_adapter, list) else self._active_adapter
        base, down, up = self.base_layer, self.lora_A[name].weight, self.lora_B[name].weight
        assert isinstance(base, torch.nn.Linear) and isinstance(down, torch.Tensor) and isinstance(up, torch.Tensor)
        return base, down, up, self.scaling[name]


class _Gated:
    """Before a gated feed-forward layer's own class: the last of its matrices makes its inputs itself."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        """Return what the layer's own forward pass does."""
        if not isinstance(self.down_proj, FusedLinear):  # merged
            found: torch.Tensor = super().forward(x)  # type: ignore[misc]
            return found
        return self.down_proj.gated(self.gate_proj(x), self.up_proj(x), self.act_fn)


@cache
def _gated(own: type) -> type:
    return type(own.__name__, (_Gated, own), {"__module__": own.__module__})


def _is_gated(layer: torch.nn.Module) -> bool:
    """Tell whether a layer's forward pass is Llama's to the word, as that of most architectures since is."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    own, llama = (getattr(kind.forward, "__code__", None) for kind in (type(layer), LlamaMLP))
    same = own is not None and all(
        getattr(own, part) == getattr(llama, part) for part in ("co_code", "co_names", "co_consts")
    )
    return same and isinstance(layer.down_proj, FusedLinear)


def fuse(model: PreTrainedModel) -> None:
    """Give all layers of plain LoRA beside linear ones the faster forward pass; DoRA and dropout keep peft's own.

    Gated feed-forward layers whose last matrix is such a layer keep less for the way back.
    """
    for layer in model.modules():
        if type(layer) is not Linear or not isinstance(layer.base_layer, torch.nn.Linear) or layer.lora_variant:
            continue
        plain = all(isinstance(dropout, torch.nn.Identity) for dropout in layer.lora_dropout.values())
        if plain and len(layer.lora_A) == 1 and not any(layer.lora_bias.values()):
            layer.__class__ = FusedLinear
    for layer in model.modules():
        if _is_gated(layer):
            layer.__class__ = _gated(type(layer))  # type: ignore[arg-type]
