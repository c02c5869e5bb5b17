"""The parts of a model by name: its head, its layers, the norm after them, and the matrices that LoRA may adapt."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head

ROUTERS = frozenset(("gate", "router", "router_gate", "shared_expert_gate"))
"""What modules that choose between experts are called; `gate_proj` is one of an expert's own matrices."""
MAMBA = frozenset((
    "bamba", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "mamba", "mamba2", "nemotron_h", "zamba2",
))  # fmt: skip
"""Architectures whose scans take a layer's weight past the layer: an adapter beside it would never be asked."""
PAST_THE_LAYER = frozenset(("out_proj", "conv1d", "x_proj", "dt_proj"))
NAMES_SHOWN = 8


class Matrices(NamedTuple):
    """Names of what LoRA may adapt.

    Attributes:
        linear: Modules.
        experts: Parameters: the matrices of all experts of a layer, stacked `[experts, rows, columns]`.
    """

    linear: list[str]
    experts: list[str]


def head_modules(model: PreTrainedModel, head: Head) -> list[str]:
    """Return the modules of a head that is no output layer over a vocabulary: those that may be new, topmost ones."""
    found: list[str] = []
    for name, module in model.named_modules():
        if not name or any(name.startswith(f"{other}.") for other in found):
            continue
        if any(True for _ in module.parameters()) and head.may_be_new(name) and name.split(".")[-1] in head.new:
            found.append(name)
    return found


def head_parameters(model: PreTrainedModel, head: Head) -> set[str]:
    """Return the parameters of the head: what stands outside the body and is no part of it, and what may be new in it.

    A tied output layer is a part of the body, since the embedding is.
    """
    body = model.base_model
    inside = set() if body is model else {id(parameter) for parameter in body.parameters()}
    output, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    found = set()
    for name, parameter in model.named_parameters():
        if body is model:
            is_output = output is not None and parameter is output.weight and parameter is not embedding.weight
        else:
            is_output = id(parameter) not in inside
        if is_output or head.may_be_new(name):
            found.add(name)
    return found


def freeze_all_but(model: PreTrainedModel, names: Collection[str]) -> None:
    """Freeze all parameters but some; what an architecture has frozen itself stays so."""
    for name, parameter in model.named_parameters():
        if name not in names:
            parameter.requires_grad_(requires_grad=False)


def blocks_of(model: PreTrainedModel) -> tuple[str, int]:
    """Return the name of the list of layers and how many there are, of an encoder-decoder the decoder's; 0 for none.

    ALBERT has none: its layers are one, run again and again.
    """
    import torch

    text = model.config.get_text_config()
    depths = {getattr(text, name, None) for name in ("num_hidden_layers", "num_decoder_layers", "decoder_layers")}
    found = [("", 0)]
    for name, module in model.named_modules():
        outermost = not any(part.isdigit() for part in name.split("."))
        if isinstance(module, torch.nn.ModuleList) and outermost and len(module) in depths:
            found.append((name, len(module)))
    return found[-1]


def final_norms(model: PreTrainedModel, blocks: str) -> set[str]:
    """Return the parameters of the norm after the layers: beside their list, or in the body itself."""
    parents = {blocks.rpartition(".")[0]}
    if model.base_model is not model:
        parents.add(model.base_model_prefix)
    found = set()
    for name, module in model.named_modules():
        parent, _, last = name.rpartition(".")
        if parent in parents and "emb" not in last and "norm" in type(module).__name__.lower():
            found |= {f"{name}.{key}" for key, _ in module.named_parameters()}
    return found


def matrices(model: PreTrainedModel, head: Head) -> Matrices:
    """Return what LoRA may adapt: the matrices of the body, without routers.

    Of a router a small change moves many tokens to other experts, and the head and the embedding are one matrix in many
    models, which peft would change twice on merging.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    body, output = model.base_model, model.get_output_embeddings()
    prefix = "" if body is model else next(name for name, module in model.named_modules() if module is body) + "."
    whole = head_modules(model, head)
    mamba = model.config.model_type in MAMBA
    found = Matrices([], [])
    for name, module in model.named_modules():
        parts = name.split(".")
        if not f"{name}.".startswith(prefix) or module is output or not ROUTERS.isdisjoint(parts):
            continue
        if any(f"{name}.".startswith(f"{part}.") for part in whole) or (mamba and parts[-1] in PAST_THE_LAYER):
            continue
        if isinstance(module, torch.nn.Linear | Conv1D):
            found.linear.append(name)
        elif not isinstance(module, torch.nn.modules.conv._ConvNd):
            found.experts.extend(
                f"{name}.{key}"
                for key, parameter in module.named_parameters(recurse=False)
                if parameter.ndim == 3 and min(parameter.shape) > 1
            )
    return found


def chosen(names: Iterable[str], wanted: Collection[str]) -> list[str]:
    """Return the names that end in one of some: `q_proj`, or `layers.0.self_attn.q_proj`."""
    ends = tuple(f".{name}" for name in wanted)
    return [name for name in names if f".{name}".endswith(ends)]


def shortest(names: Collection[str], others: Collection[str]) -> list[str]:
    """Return the shortest endings of names that no other name has, as peft matches them: `q_proj` for all layers'."""
    endings = {ending for other in others for ending in _endings(other)}
    return sorted({next((ending for ending in _endings(name) if ending not in endings), name) for name in names})


def _endings(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]


def short_names(names: Iterable[str]) -> str:
    """Return the last parts of names, each once, as people read them."""
    last: dict[str, Any] = dict.fromkeys(name.removesuffix(".weight").removesuffix(".bias") for name in names)
    shown = list(dict.fromkeys(name.rpartition(".")[2] for name in last))
    more = f" and {len(shown) - NAMES_SHOWN} more" if len(shown) > NAMES_SHOWN else ""
    return ", ".join(shown[:NAMES_SHOWN]) + more
