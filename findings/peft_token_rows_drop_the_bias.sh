#!/usr/bin/env bash
# peft, `trainable_token_indices` on an output layer that has a bias, as the heads of Phi, GPT-J and CodeGen have.
#
# Guess:  wrapping a layer changes nothing before the first step; and what was trained is what is merged.
# Real:   the wrapped layer is computed without its bias. The logits differ by the whole bias from the first step on,
#         training works against that, and `merge_and_unload` brings the bias back: the merged model is another one than
#         was trained. Nothing is said.
# Seen:   peft 0.21.2, transformers 5.24.0, torch 2.13.0.
# Hurts:  whoever adds tokens to such a model and trains their rows beside LoRA.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check torch==2.13.0
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check transformers==5.24.0 peft==0.21.2 "numpy<3"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from peft import LoraConfig, get_peft_model
from transformers import PhiConfig, PhiForCausalLM

torch.manual_seed(0)
sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
model = PhiForCausalLM(PhiConfig(**sizes)).eval()
ids = torch.arange(8)[None]
with torch.no_grad():
    bias = model.lm_head.bias.normal_().clone()
    before = model(ids).logits
    settings = LoraConfig(target_modules=["q_proj"], trainable_token_indices={"lm_head": [3]})
    wrapped = get_peft_model(model, settings).eval()
    after = wrapped(ids).logits
    merged = wrapped.merge_and_unload()(ids).logits


def apart(one, other):
    return (one - other).abs().max().item()


print(f"before any training: wrapped and plain logits differ by {apart(after, before):.3f}")
print(f"with the bias added by hand they differ by {apart(after + bias, before):.6f}")
print(f"merged and plain logits differ by {apart(merged, before):.6f}")
assert apart(after, before) > 0.5, "the bias is kept now"
assert apart(after + bias, before) < 1e-5, "it is something else than the bias"
assert apart(merged, before) < 1e-5, "merging does not bring the bias back"
print("as described: the bias is left out until merging")
PYTHON
