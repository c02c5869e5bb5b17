"""Split tiny models over two processes and compare them with the whole ones; a script of test_sharding.py.

split_training.py ARCHITECTURE ...    print, for each: shapes of a layer's weights, of a stretch and of what is attended
to, and how far logits and gradients are from the whole's, as shares of the largest
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from llmkit.training import sequence, tensor

SIZES = {
    "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 64, "head_dim": 8, "pad_token_id": None, "max_position_embeddings": 64,
}  # fmt: skip
WINDOWS = {"mistral": {"sliding_window": None}}
IDS = torch.arange(32).reshape(2, 16)
POSITIONS = torch.tensor([[*range(5), *range(11)], [*range(13), *range(3)]])  # documents cross the middle


def build(arch: str) -> PreTrainedModel:
    """A model with the same random weights every time, biases and norms among them."""
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(arch, **SIZES, **WINDOWS.get(arch, {})))
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model.eval()  # some have dropout


def logits_of(model: PreTrainedModel, ids: torch.Tensor = IDS, positions: torch.Tensor = POSITIONS) -> torch.Tensor:
    return model(input_ids=ids, position_ids=positions, use_cache=False).logits


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).detach().abs().max() / other.detach().abs().max().clamp_min(1e-6))


def by_matrices(arch: str, group: dist.ProcessGroup) -> dict[str, Any]:
    whole, split = build(arch), build(arch)
    expected = logits_of(whole)
    expected.square().sum().backward()
    tensor.split_matrices(split, group)
    logits = logits_of(split)
    logits.square().sum().backward()
    tensor.sum_partial_gradients(split)
    axes, wanted = tensor.split_axes(split), dict(whole.named_parameters())
    errors = {"logits": far(logits, expected)}
    for name, parameter in split.named_parameters():
        if parameter.grad is not None:
            gradient = tensor.join(parameter.grad, axes[name], group) if name in axes else parameter.grad
            errors[name] = far(gradient, wanted[name].grad)
    shapes = {name: [*parameter.shape] for name, parameter in split.named_parameters() if name in axes}
    return {"shapes": shapes, "errors": errors}


def by_positions(arch: str, group: dist.ProcessGroup) -> dict[str, Any]:
    whole, shared = build(arch), build(arch)
    expected = logits_of(whole)
    expected.square().sum().backward()
    split = sequence.SequenceSplit(shared, group, IDS.shape[1])
    attended, attend = [], torch.nn.functional.scaled_dot_product_attention

    def watch(query: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        attended.append([*query.shape])
        return attend(query, *arguments, **options)

    mine = split.take({"input_ids": IDS, "labels": IDS, "position_ids": POSITIONS})
    torch.nn.functional.scaled_dot_product_attention = watch
    logits = logits_of(shared, mine["input_ids"], mine["position_ids"])
    torch.nn.functional.scaled_dot_product_attention = attend
    logits.square().sum().backward()
    errors = {"logits": far(tensor.join(logits.detach(), 1, group), expected)}
    for (name, parameter), other in zip(shared.named_parameters(), whole.parameters(), strict=True):
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            errors[name] = far(parameter.grad, other.grad)
    alone = torch.arange(7, 23).repeat(2, 1)  # one document a block, cut off at both ends
    mine = split.take({"input_ids": IDS, "labels": IDS, "position_ids": alone})
    logits = logits_of(shared, mine["input_ids"], mine["position_ids"])
    errors["one document"] = far(tensor.join(logits.detach(), 1, group), logits_of(whole, IDS, alone))
    return {"stretch": [*mine["input_ids"].shape], "attended": attended[0], "errors": errors}


if __name__ == "__main__":
    dist.init_process_group("gloo")
    found: dict[str, dict[str, Any]] = {}
    for arch in sys.argv[1:]:
        found[arch] = {}
        for name, module, split in (("tensor", tensor, by_matrices), ("context", sequence, by_positions)):
            if arch in module.ARCHITECTURES:
                found[arch][name] = split(arch, dist.group.WORLD)
    if dist.get_rank() == 0:
        Path("found.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()
