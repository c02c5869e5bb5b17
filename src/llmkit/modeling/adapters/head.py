"""Only the head is trained: the body stays as it is (a "linear probe" where the head is one layer)."""

# ruff: noqa: ARG002 - not every member reads all of what the family is given

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.core.errors import ConfigError
from llmkit.modeling.adapters import Adapter, Targets, trained_parameters
from llmkit.modeling.adapters._parts import freeze_all_but, head_parameters, short_names

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head as ModelHead


class Head(Adapter):
    """Train the head alone: cheap, since nothing is propagated back through the body. A whole model is saved."""

    def wrap(self, model: PreTrainedModel, head: ModelHead, *, seed: int = 0, grown: range = range(0)) -> None:
        """Freeze the body. A tied output layer is the embedding: both are trained then, and the body is passed back."""
        found = head_parameters(model, head)
        output = model.get_output_embeddings()
        if not found and output is not None:
            found = {name for name, p in model.named_parameters() if p is output.weight}
        if not found:
            raise ConfigError(f"adapter: head: a {type(model).__name__} has no head beside its body", "adapter=layers")
        freeze_all_but(model, found)

    def describe(self, model: PreTrainedModel) -> Targets:
        """Name the layers of the head."""
        names = short_names(name for name, p in model.named_parameters() if p.requires_grad)
        return Targets(f"the head ({names})", trained_parameters(model), sum(p.numel() for p in model.parameters()))
