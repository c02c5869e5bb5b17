"""Split a tiny Llama's matrices, then its blocks, over two processes; a script of test_sharding.py.

Prints, of the first process: the shapes of a layer's weights, and how far logits and gradients are from the whole's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from llmkit.training.sequence import SequenceSplit
from llmkit.training.tensor import join, split_axes, split_matrices

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import VOCABULARY, model

dist.init_process_group("gloo")
group = dist.group.WORLD
ids = torch.arange(32).reshape(2, 16) % VOCABULARY
positions = torch.tensor([[*range(5), *range(11)], [*range(13), *range(3)]])  # documents cross the middle
whole, split, shared = (model(num_key_value_heads=2).train() for _ in range(3))
expected = whole(input_ids=ids, position_ids=positions, use_cache=False).logits
expected.square().sum().backward()

split_matrices(split, group)
logits = split(input_ids=ids, position_ids=positions, use_cache=False).logits
logits.square().sum().backward()
axes = split_axes(split)
wanted = {name: parameter.grad for name, parameter in whole.named_parameters()}
errors = [float((logits - expected).abs().max())]
for name, parameter in split.named_parameters():
    gradient = join(parameter.grad, axes[name], group) if name in axes else parameter.grad
    errors.append(float((gradient - wanted[name]).abs().max() / wanted[name].abs().max()))

heads = []
sequence = SequenceSplit(shared, group, 16)
attention = shared.model.layers[0].self_attn
traded = torch.nn.functional.scaled_dot_product_attention
torch.nn.functional.scaled_dot_product_attention = lambda query, *a, **k: (
    heads.append([*query.shape]), traded(query, *a, **k))[1]  # fmt: skip
mine = sequence.take({"input_ids": ids, "labels": ids, "position_ids": positions})
logits = shared(input_ids=mine["input_ids"], position_ids=mine["position_ids"], use_cache=False).logits
errors.append(float((join(logits.detach(), 1, group) - expected).abs().max()))

if dist.get_rank() == 0:
    layer = dict(split.model.layers[0].named_parameters())
    shapes = {name: [*tensor.shape] for name, tensor in layer.items() if "layernorm" not in name}
    sys.stdout.write(json.dumps({
        "shapes": shapes, "stretch": [*mine["input_ids"].shape], "attended": heads[0], "errors": errors,
    }))  # fmt: skip
dist.destroy_process_group()
