#!/usr/bin/env bash
# transformers: a GPT-2 with a tokenizer that says which of two texts a token belongs to, as BERT's do.
#
# Guess:  GPT-2 has no embedding of token types (its config has no `type_vocab_size`): zeros from
#         `model(**tokenizer(text))` change nothing, or are refused as an argument of no use.
# Real:   types are looked up in the table of tokens and added to every position: zeros add the embedding of token 0,
#         often [PAD], and ones that of token 1. Logits are others than those of the ids, and nothing is said. Llama
#         ignores the same argument, and BERT's zeros are a row that it has learned.
# Seen:   transformers 5.24.0, torch 2.13.0.
# Hurts:  whoever trains a GPT-2 with a WordPiece tokenizer on ids alone and then calls it, or a pipeline does, with what
#         the tokenizer returns; and whoever exports it to a graph that takes ids and a mask, and compares.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check torch==2.13.0
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check transformers==5.24.0 "numpy<3"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

words = ["[PAD]", "[UNK]", "the", "sea", "is", "calm"]
raw = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
raw.pre_tokenizer = pre_tokenizers.Whitespace()
names = ["input_ids", "token_type_ids", "attention_mask"]
tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", model_input_names=names)
given = tokenizer("the sea is calm", return_tensors="pt")
assert not given["token_type_ids"].any()

torch.manual_seed(0)
ends = {"bos_token_id": None, "eos_token_id": None}
gpt2 = GPT2Config(vocab_size=len(words), n_embd=16, n_layer=2, n_head=2, n_positions=16, **ends)
llama = LlamaConfig(vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
                    num_attention_heads=2, **ends)
apart = {}
for config in (gpt2, llama):
    model = AutoModelForCausalLM.from_config(config).eval()
    for weight in model.parameters():
        weight.data.normal_(0, 0.3)
    with torch.no_grad():
        whole = model(**given).logits
        alone = model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits
    apart[config.model_type] = float((whole - alone).abs().max() / alone.std())
    print(f"{config.model_type}: with types that are all 0, logits are {apart[config.model_type]:.2f} spreads away")
assert apart["gpt2"] > 0.1, "GPT-2 does not add the types: this has changed"
assert apart["llama"] < 1e-5, "Llama uses the types: this has changed"
PYTHON
