#!/usr/bin/env bash
# transformers, `from_pretrained(..., gguf_file=...)` of a Llama whose GGUF file has rope scaling.
#
# Guess:  what the file says of the rotary embedding is in the config, as `rope.freq_base` is.
# Real:   `rope.scaling.type` and `rope.scaling.factor` are not read: the config has plain rope and the scaled context
#         length. The model loads without a word and computes other angles at every position but the first.
# Seen:   transformers 5.24.0, gguf 0.19.0, torch 2.13.0; the loaded logits are those of a model without scaling.
# Hurts:  whoever fine-tunes, evaluates or converts a long-context model from its GGUF file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check torch==2.13.0
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check transformers==5.24.0 gguf==0.19.0 accelerate==1.15.0 "numpy<3"
FOLDER="$folder" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import os

import numpy as np
import torch
from gguf import GGUFWriter, RopeScalingType
from transformers import AutoModelForCausalLM, LlamaForCausalLM

HIDDEN, INNER, VOCAB, HEADS, FACTOR = 32, 64, 40, 2, 4.0
folder = os.environ["FOLDER"]
writer = GGUFWriter(f"{folder}/scaled.gguf", "llama")
writer.add_block_count(1)
writer.add_context_length(8192)
writer.add_embedding_length(HIDDEN)
writer.add_feed_forward_length(INNER)
writer.add_head_count(HEADS)
writer.add_head_count_kv(HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(HIDDEN // HEADS)
writer.add_rope_freq_base(10000.0)
writer.add_rope_scaling_type(RopeScalingType.LINEAR)
writer.add_rope_scaling_factor(FACTOR)
writer.add_rope_scaling_orig_ctx_len(2048)
writer.add_vocab_size(VOCAB)
writer.add_tokenizer_model("gpt2")
writer.add_token_list([f"t{number}" for number in range(VOCAB)])
writer.add_token_types([1] * VOCAB)
writer.add_token_merges(["t 0"])
shapes = {"token_embd": (VOCAB, HIDDEN), "output_norm": (HIDDEN,), "output": (VOCAB, HIDDEN)}
block = {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,), "ffn_gate": (INNER, HIDDEN), "ffn_up": (INNER, HIDDEN)}
block |= {name: (HIDDEN, HIDDEN) for name in ("attn_q", "attn_k", "attn_v", "attn_output")} | {"ffn_down": (HIDDEN, INNER)}
draw = np.random.default_rng(0)
for name, shape in {**shapes, **{f"blk.0.{name}": shape for name, shape in block.items()}}.items():
    writer.add_tensor(f"{name}.weight", draw.standard_normal(shape).astype(np.float32) / 4)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file="scaled.gguf").eval()
meant = loaded.config.to_dict() | {"rope_parameters": {"rope_type": "linear", "factor": FACTOR, "rope_theta": 10000.0}}
scaled = LlamaForCausalLM(type(loaded.config).from_dict(meant)).eval()
scaled.load_state_dict(loaded.state_dict())
ids = torch.arange(VOCAB)[None]
with torch.no_grad():
    apart = (loaded(ids).logits - scaled(ids).logits).abs().amax((0, 2))
print(f"the file: linear scaling by {FACTOR:g}; the config: {loaded.config.rope_parameters}")
print(f"logits against the same weights with scaling: {apart[0]:.6f} apart at position 0, {apart[1:].max():.3f} behind it")
assert loaded.config.rope_parameters["rope_type"] == "default", "rope scaling is read now"
assert apart[0] < 1e-5 < 0.01 < apart[1:].max()
print("as described: rope scaling is left out in silence")
PYTHON
