#!/usr/bin/env bash
# transformers, `model.save_pretrained(folder)` in a process group, each rank with a model and a folder of its own.
#
# Guess:  every process that calls it writes what it holds: `is_main_process` is True by default.
# Real:   the default is overruled by the rank. Every rank but the first makes an empty folder, returns as if it had
#         saved, and says nothing; `is_main_process=True` given by hand changes nothing.
# Seen:   transformers 5.24.0, torch 2.13.0, gloo.
# Hurts:  whoever trains a population or an ensemble, one model a rank, or saves to disks local to each node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check torch==2.13.0
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check transformers==5.24.0 "numpy<3"
cat > "$folder/ranks.py" <<'PYTHON'
import os
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def save(rank, folder):
    from transformers import LlamaConfig, LlamaForCausalLM

    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.manual_seed(rank)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, **sizes))
    model.save_pretrained(f"{folder}/default-{rank}")
    model.save_pretrained(f"{folder}/asked-{rank}", is_main_process=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    folder = sys.argv[1]
    mp.spawn(save, (folder,), nprocs=2)
    found = {name: sorted(os.listdir(f"{folder}/{name}")) for name in ("default-0", "default-1", "asked-0", "asked-1")}
    for name, files in found.items():
        print(f"{name}: {', '.join(files) or 'nothing'}")
    for name in ("default", "asked"):
        assert "model.safetensors" in found[f"{name}-0"]
        assert "model.safetensors" not in found[f"{name}-1"], "the second rank writes its weights now"
    print("as described: the second rank's weights are not written")
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/ranks.py" "$folder"
