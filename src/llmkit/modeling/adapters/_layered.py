"""What adapters of small layers inside a model share: peft puts them in, saves, loads and merges them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.core.errors import ConfigError, nearest
from llmkit.modeling.adapters import Adapter, Base
from llmkit.modeling.adapters._parts import NAMES_SHOWN, chosen, short_names
from llmkit.modeling.adapters._peft import (
    PREFIX,
    adapter_state,
    load,
    merge,
    peft_config,
    tuner_of,
    write_adapter,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BESIDE = ("lora_", "ia3_", "trainable_tokens_delta", "original_module")
"""In names of what is there beside the model's own weights, or twice."""


class Layered(Adapter):
    """Layers of peft around or beside those of a model."""

    is_apart: ClassVar[bool] = True

    def save(
        self, directory: Path, model: PreTrainedModel, base: Base | None, weights: Mapping[str, Any] | None = None
    ) -> None:
        """Write adapter_config.json and adapter_model.safetensors, as peft does, and what llmkit knows of the base."""
        assert base is not None, "an adapter is of a model that was there"
        state = adapter_state(model) if weights is None else weights
        named = {f"{PREFIX}{name}": tensor for name, tensor in state.items()}
        write_adapter(directory, peft_config(model), named, model, base)

    def load(self, model: PreTrainedModel, directory: Path) -> None:
        """Wrap a base as adapter_config.json says, and fill in the weights.

        Raises:
            DataError: They are damaged, or of another base.
        """
        load(model, directory)

    def merge(self, model: PreTrainedModel) -> None:
        """Compute what is trained into the matrices, and put what was trained whole in its place."""
        merge(model)

    @contextmanager
    def off(self, model: PreTrainedModel) -> Iterator[None]:
        """Answer as the base does, new heads and rows included."""
        tuner = tuner_of(model)
        tuner.disable_adapter_layers()
        try:
            yield
        finally:
            tuner.enable_adapter_layers()


def own_parameters(model: PreTrainedModel) -> int:
    """Return the number of parameters of a wrapped model without what was put beside them."""
    from llmkit.modeling.quantized import quantized_weights

    named = (p.numel() for name, p in model.named_parameters() if not any(word in name for word in BESIDE))
    return int(sum(named)) + quantized_weights(model)


def counted_names(names: Collection[str]) -> str:
    """Return the last parts of names and how often each is there: `q_proj, v_proj (30 of each)`."""
    last = Counter(name.rpartition(".")[2] for name in names)
    counts = set(last.values())
    if len(counts) == 1:
        (count,) = counts
        return f"{short_names(names)} ({count}{' of each' if len(last) > 1 else ''})"
    shown = [f"{name} ({count})" for name, count in list(last.items())[:NAMES_SHOWN]]
    more = f" and {len(last) - NAMES_SHOWN} more" if len(last) > NAMES_SHOWN else ""
    return ", ".join(shown) + more


def no_match(
    model: PreTrainedModel, what: str, name: str, names: Collection[str], field: str = "targets"
) -> ConfigError:
    """Return the error of a name that no matrix has: the nearest one that there is, or why it is left alone."""
    if [full for full, _ in model.named_modules() if chosen([full], [name])]:
        why = (
            f"adapter.{field}: '{name}' is no matrix that {what} adapts: heads, embeddings and routers are left"
            " alone, and so is what a scan takes past its layer"
        )
        return ConfigError(why, f"name others, such as {short_names(names)}; adapter=head trains the head")
    last = list(dict.fromkeys(full.rpartition(".")[2] for full in names))
    return ConfigError(f"adapter.{field}: the model has no matrix '{name}'{nearest(name, last)}")
