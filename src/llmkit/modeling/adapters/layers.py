"""Only the last layers are trained, and what follows them: the lower ones keep what they have learned."""

# ruff: noqa: ARG002 - not every member reads all of what the family is given

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from llmkit.core.errors import ConfigError
from llmkit.modeling.adapters import Adapter, Targets, trained_parameters
from llmkit.modeling.adapters._parts import blocks_of, final_norms, freeze_all_but, head_parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head


class Layers(Adapter):
    """Train the last layers, the norm after them and the head; an output layer that is the embedding stays frozen.

    Nothing is propagated back below the first of them. A whole model is saved.
    """

    last: int = Field(2, ge=1)
    """How many of the layers, counted from the end; of an encoder-decoder, of the decoder's."""

    def wrap(self, model: PreTrainedModel, head: Head, *, seed: int = 0, grown: range = range(0)) -> None:
        """Freeze the embedding and the layers before.

        Raises:
            ConfigError: There are fewer layers.
        """
        prefix, count = blocks_of(model)
        if self.last > count:
            raise ConfigError(
                f"adapter.last: {self.last} layers of a model that has {count}",
                f"-s adapter.last={count}, or adapter=full" if count else "adapter=full",
            )
        blocks = tuple(f"{prefix}.{number}." for number in range(count - self.last, count))
        names = {name for name, _ in model.named_parameters() if name.startswith(blocks)}
        freeze_all_but(model, names | final_norms(model, prefix) | head_parameters(model, head))

    def describe(self, model: PreTrainedModel) -> Targets:
        """Name the layers."""
        layers = "last layer" if self.last == 1 else f"last {self.last} layers"
        total = sum(p.numel() for p in model.parameters())
        return Targets(f"the {layers} and what follows", trained_parameters(model), total)
