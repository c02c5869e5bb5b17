"""Tiny models in GGUF, written by the `gguf` package as llama.cpp's converter does, and the directories they are of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

import tiny
from texts import sentences

SPECIAL = ["<s>", "</s>", "<|turn|>", "<|over|>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|over|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
CONTEXT = 256
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
BLOCK = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE that cuts text as GPT-2's."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(sentences(100), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE, model_max_length=CONTEXT
    )


def directory(folder: Path, **settings: Any) -> Path:
    """Save a model directory that a file can be made of."""
    tokens = tokenizer()
    config = {**SIZES, "num_key_value_heads": 2, "vocab_size": len(tokens), "max_position_embeddings": CONTEXT}
    ends = {"bos_token_id": 0, "eos_token_id": 1}
    tiny.model("llama", **config, **ends, **settings).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def gguf_name(name: str) -> str:
    """What llama.cpp calls a weight."""
    part, _, kind = name.rpartition(".")
    if part in WHOLE:
        return f"{WHOLE[part]}.{kind}"
    number, _, inner = part.removeprefix("model.layers.").partition(".")
    return f"blk.{number}.{BLOCK[inner]}.{kind}"


def rotated(weight: np.ndarray, heads: int) -> np.ndarray:
    """The rows of a projection in the order in which llama.cpp rotates them."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write(file: Path, source: Path, kind: str = "F32", *, arch: str = "llama", name: str = "", **settings: Any) -> Path:
    """Write a directory's model as a GGUF file.

    Args:
        file: Where.
        source: The directory.
        kind: The type of its matrices.
        arch: What the file says that it is.
        name: Of one more tensor of 4 numbers.
        settings: More settings by their names, dots as double underscores.
    """
    model = AutoModelForCausalLM.from_pretrained(source)
    config = model.config
    writer = gguf.GGUFWriter(file, arch)
    writer.add_name("A Tiny Model")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    add_tokenizer(writer, source)
    for key, value in settings.items():
        add = {str: writer.add_string, float: writer.add_float32, int: writer.add_uint32}[type(value)]
        add(key.replace("__", "."), value)
    for weight, tensor in model.named_parameters():
        values = tensor.detach().numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        for part, number in heads.items():
            if part in weight:
                values = rotated(values, number)
        of = gguf.GGMLQuantizationType["F32" if values.ndim == 1 else kind]
        writer.add_tensor(gguf_name(weight), gguf.quantize(np.ascontiguousarray(values), of), raw_dtype=of)
    if name:
        writer.add_tensor(name, np.full(4, 2, np.float32))
    finish(writer)
    return file


def add_tokenizer(writer: gguf.GGUFWriter, source: Path) -> None:
    """Write a directory's tokenizer into a file."""
    settings = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = {**settings["model"]["vocab"], **{token["content"]: token["id"] for token in settings["added_tokens"]}}
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    special = {token["content"] for token in settings["added_tokens"] if token["special"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in settings["model"]["merges"]])
    writer.add_bos_token_id(vocabulary["<s>"])
    writer.add_eos_token_id(vocabulary["</s>"])
    writer.add_chat_template(TEMPLATE)


def finish(writer: gguf.GGUFWriter) -> None:
    """Write what was added."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
