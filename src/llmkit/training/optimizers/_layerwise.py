"""How far below the top of a model each trained parameter stands, for rates that fall from layer to layer."""

from __future__ import annotations

from typing import NamedTuple

import torch

from llmkit.training.optimizers import embedding_ids, trained


class Place(NamedTuple):
    """Where a parameter stands.

    Attributes:
        below: Steps of the decay: 0 behind the last layer, 1 in the last one, one more than layers in the embeddings.
        words: What is there.
    """

    below: int
    words: str


def depths(model: torch.nn.Module) -> dict[int, Place]:
    """Return the place of every trained parameter by its identity; a tied output layer is the embedding.

    The layers of an encoder and of a decoder are counted apart, each from its own top.
    """
    lists = _layers(model)
    deepest = max(lists.values(), default=0)
    head = getattr(model, "get_output_embeddings", lambda: None)()
    embedding = getattr(model, "get_input_embeddings", lambda: None)()
    tables = embedding_ids(model)
    if head is not None and embedding is not None and head.weight is not embedding.weight:
        tables -= {id(head.weight)}
    wanted = {id(parameter) for parameter in trained(model)}
    found: dict[int, Place] = {}
    for name, parameter in model.named_parameters():
        if id(parameter) not in wanted:
            continue
        within = next((layers for layers in lists if name.startswith(f"{layers}.")), None)
        if within is not None:
            number = int(name[len(within) + 1 :].partition(".")[0])
            found[id(parameter)] = Place(lists[within] - number, f"layer {number}" + _side(within, lists))
        elif id(parameter) in tables or any(part.startswith("embed") for part in name.split(".")):
            found[id(parameter)] = Place(deepest + 1, "embeddings")
        else:
            found[id(parameter)] = Place(0, "behind them")
    return found


def _layers(model: torch.nn.Module) -> dict[str, int]:
    """Return the lists of layers by name, and how many each has: outermost ones, of a depth that the config names."""
    config = getattr(model, "config", None)
    text = config.get_text_config() if config is not None else None
    names = ("num_hidden_layers", "num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers")
    depths = {getattr(text, name, None) for name in names}
    return {
        name: len(module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList)
        and len(module) in depths
        and not any(part.isdigit() for part in name.split("."))
    }


def _side(within: str, lists: dict[str, int]) -> str:
    return f" of {within.rpartition('.')[0]}" if len(lists) > 1 else ""
