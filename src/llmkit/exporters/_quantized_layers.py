"""Which layers of a model are rounded, how that is written in config.json, and how transformers computes with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@contextmanager
def as_run(layers: Mapping[str, torch.nn.Linear], dtype: torch.dtype, whole: Collection[str]) -> Iterator[None]:
    """Round what layers read and give to a dtype, and what some of them read to 8 bits."""
    from llmkit.modeling.smoothing import rounded

    eight = {id(layers[name]) for name in whole}

    def read(layer: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        found = given[0].to(dtype).float()
        return (rounded(found) if id(layer) in eight else found, *given[1:])

    def gives(_: torch.nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output.to(dtype).float()

    handles = [
        handle
        for layer in layers.values()
        for handle in (layer.register_forward_pre_hook(read), layer.register_forward_hook(gives))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def is_linear(module: torch.nn.Module) -> bool:
    import torch

    return isinstance(module, torch.nn.Linear)


def body_of(model: PreTrainedModel) -> dict[str, torch.nn.Linear]:
    """Return the linear layers of a model's body, by their names in the whole."""
    import torch

    within = {id(module) for module in model.base_model.modules()} - {id(model.get_output_embeddings())}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and id(module) in within
    }


def layers_of(model: PreTrainedModel, group: int | None) -> tuple[dict[str, torch.nn.Linear], list[str]]:
    """Return the layers that are rounded, and the names of those that are not."""
    import torch

    body = body_of(model)
    tied = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    taken = {
        name: layer
        for name, layer in body.items()
        if id(layer.weight) not in tied and (group is None or layer.in_features % group == 0)
    }
    every = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return taken, [name for name in every if name not in taken]


def distinct(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the weights, each under the first of its names: a copy of a tied one would be one of its own."""
    names: dict[int, str] = {}
    weights = model.state_dict(keep_vars=True)
    for name, weight in weights.items():
        names.setdefault(weight.data_ptr(), name)
    return {name: weights[name].detach() for name in names.values()}


def form_of(bits: int, group: int | None, ignored: Sequence[str]) -> dict[str, Any]:
    """Return what config.json says of the numbers, as compressed-tensors 0.9 and later read it."""
    weights = {
        "num_bits": bits, "type": "int", "symmetric": True, "dynamic": False,
        "strategy": "channel" if group is None else "group", "group_size": group, "observer": "minmax",
    }  # fmt: skip
    read = {
        "num_bits": 8, "type": "int", "symmetric": True, "dynamic": True, "strategy": "token", "observer": None,
    }  # fmt: skip
    groups = {"targets": ["Linear"], "weights": weights, "input_activations": read if bits == 8 else None}
    form = "int-quantized" if bits == 8 else "pack-quantized"
    return {
        "quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed",
        "config_groups": {"group_0": {**groups, "output_activations": None, "format": form}},
        "ignore": list(ignored), "kv_cache_scheme": None, "global_compression_ratio": None,
    }  # fmt: skip
