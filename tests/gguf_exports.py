"""Tiny models of every architecture that is written to GGUF, with tokenizers that llama.cpp has the rules of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedModel, PreTrainedTokenizerFast

import gguf_files
import tiny
from texts import sentences

SIZES = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": gguf_files.CONTEXT, "bos_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
GPT2_SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": gguf_files.CONTEXT}
ROPE = {"rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-biased": (
        "llama", {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True, "head_dim": 16},
    ),
    "llama-linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
    "llama-yarn": ("llama", {"rope_parameters": {"rope_type": "yarn", **ROPE}}),
    "llama-3": (
        "llama", {"rope_parameters": {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, **ROPE}},
    ),
    "mistral": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "phi3": ("phi3", {}),
    "gemma": ("gemma", {"head_dim": 16}),
    "gemma2": ("gemma2", {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 16}),
    "gemma3": (
        "gemma3_text",
        {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 16, "num_hidden_layers": 6},
    ),
    "gpt2": ("gpt2", GPT2_SIZES),
}  # fmt: skip
"""By a name the model type, and what its config says beside the sizes."""


def decoder(name: str, **more: Any) -> PreTrainedModel:
    """A model that writes, with biases and norms that are no zeros and ones."""
    kind, settings = DECODERS[name]
    sizes = SIZES if kind != "gpt2" else {key: SIZES[key] for key in ("vocab_size", "bos_token_id", "eos_token_id")}
    found = tiny.model(kind, **{**sizes, **settings, **more})
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for weight in found.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return found


def save(folder: Path, name: str, tokenizer: PreTrainedTokenizerFast | None = None, **more: Any) -> Path:
    """Save a model that writes, with a tokenizer of bytes."""
    decoder(name, **more).save_pretrained(folder)
    (tokenizer or gguf_files.tokenizer()).save_pretrained(folder)
    return folder


def encoder(folder: Path, **settings: Any) -> Path:
    """Save a BERT that gives vectors, with a tokenizer of WordPieces."""
    tokens = wordpieces()
    named = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    sizes = {key: SIZES[key] for key in named}
    config = BertConfig(vocab_size=len(tokens), max_position_embeddings=64, **{**sizes, **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        BertModel(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def wordpieces(**normalizer: Any) -> PreTrainedTokenizerFast:
    """WordPieces as BERT's."""
    special = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(**normalizer)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=list(special.values()), show_progress=False)
    backend.train_from_iterator(sentences(100), trainer)
    around = [("[CLS]", 2), ("[SEP]", 3)]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=around
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def sentencepieces(*, prefix: bool = True, bos: bool = True) -> PreTrainedTokenizerFast:
    """Merges of letters as SentencePiece's, with bytes for what is unknown: as Llama 2 has it, or Gemma (no prefix)."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    trained.train_from_iterator([f"▁{text}" for text in sentences(200)], trainer)
    letters = sorted(trained.get_vocab(), key=trained.get_vocab().get)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    # All ways to put a token together, in the order of the tokens, as they are made of a SentencePiece model.
    merges = [
        (token[:i], token[i:])
        for token in letters
        for i in range(1, len(token))
        if token[:i] in vocabulary and token[i:] in vocabulary
    ]
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    steps = [normalizers.Prepend("▁")] if prefix else []
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    if bos:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
