#!/usr/bin/env bash
# lm-evaluation-harness, rolling log-likelihood of a model whose tokenizer puts BOS before every text (Llama 2 and 3,
# Gemma, Mistral).
#
# Guess:  BOS is context: the text's own tokens are scored, the first of them predicted from one BOS.
# Real:   the text is encoded with its BOS, and another BOS stands before it as the context: the likelihood of BOS behind
#         BOS is part of every document's score. A model that gives every token 1/V shows it: n tokens cost n + 1 times
#         ln V, in word and byte perplexity and bits per byte alike. `add_bos_token=False` gives n times ln V.
#         The shorter the documents, the more it weighs: one more target in ten is 10% more bits per byte.
# Seen:   lm-eval 0.4.13, transformers 5.24.0, torch 2.13.0.
# Hurts:  whoever compares perplexities of models with and without such a tokenizer, or with another tool's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check torch==2.13.0
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check transformers==5.24.0 lm-eval==0.4.13 accelerate "numpy<3"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore - "$folder/model" <<'PYTHON'
import math
import sys

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

words = ["<s>", "</s>", "[UNK]", "one", "two", "three"]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
backend.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="[UNK]")
tokenizer.save_pretrained(sys.argv[1])
sizes = {"vocab_size": len(words), "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
model = LlamaForCausalLM(LlamaConfig(**sizes, bos_token_id=0, eos_token_id=1, max_position_embeddings=16))
with torch.no_grad():
    for weight in model.parameters():
        weight.zero_()  # every token is as likely as any
model.save_pretrained(sys.argv[1])
text = "one two three two"


def targets(**settings):
    """Return how many tokens were scored."""
    judge = HFLM(pretrained=sys.argv[1], dtype="float32", device="cpu", batch_size=1, **settings)
    asked = Instance("loglikelihood_rolling", {}, (text,), 0)
    return -judge.loglikelihood_rolling([asked], disable_tqdm=True)[0] / math.log(len(words))


as_it_comes, told = targets(), targets(add_bos_token=False)
print(f"4 tokens of text: {as_it_comes:.3f} are scored as it comes, {told:.3f} with add_bos_token=False")
assert abs(as_it_comes - 5) < 1e-3, "BOS is no longer scored"
assert abs(told - 4) < 1e-3, "something else is scored"
print("as described: BOS is scored behind BOS")
PYTHON
