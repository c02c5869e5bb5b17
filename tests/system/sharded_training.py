"""Train a tiny Llama that PyTorch's FSDP2 shards over CPU processes; a script of test_processes.py.

sharded_training.py FOLDER    two processes (or one): train 4 steps, save, train 4 more; print all losses
sharded_training.py --resume FOLDER    one process: load what two have saved, train 4 more; print the losses
"""

from __future__ import annotations

import json
import sys
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoConfig, AutoModelForCausalLM

from llmkit.training.parallel import layer_classes

resume, folder = "--resume" in sys.argv, sys.argv[-1]
dist.init_process_group("gloo") if not resume else None
rank, size = (dist.get_rank(), dist.get_world_size()) if not resume else (0, 1)
torch.manual_seed(0)
sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
config = AutoConfig.for_model("llama", vocab_size=61, tie_word_embeddings=True, **sizes)
model = AutoModelForCausalLM.from_config(config).train()
units = [module for module in model.modules() if type(module).__name__ in layer_classes(model)]
assert {type(unit).__name__ for unit in units} == {"LlamaDecoderLayer"}
if size > 1:
    mesh = init_device_mesh("cpu", (size,))
    for unit in [*units, model]:
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)
    local = sum(parameter.to_local().numel() for parameter in model.parameters())
    whole = sum(parameter.numel() for parameter in model.parameters())
    assert local < 0.6 * whole, "each process holds its part alone"
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)


def train(first: int) -> list[float]:
    """Four steps of eight blocks in which every id follows from the last; returns the mean loss of each."""
    losses = []
    for step in range(first, first + 4):
        starts = torch.randint(0, 61, (8, 1), generator=torch.Generator().manual_seed(step))
        blocks = (starts + torch.arange(16)) % 61
        mine = blocks.chunk(size)[rank]
        loss = model(input_ids=mine, labels=mine, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        value = loss.detach()
        if size > 1:
            dist.all_reduce(value)
        losses.append(float(value) / size)
    return losses


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torch about its own checkpoints
    if resume:
        weights, moments = get_state_dict(model, optimizer)
        state = {"model": weights, "optimizer": moments}
        dcp.load(state, checkpoint_id=folder)
        set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
        losses = train(4)
    else:
        losses = train(0)
        weights, moments = get_state_dict(model, optimizer)
        dcp.save({"model": weights, "optimizer": moments}, checkpoint_id=folder)
        losses += train(4)
if rank == 0:
    sys.stdout.write(json.dumps(losses))
if not resume:
    dist.destroy_process_group()
