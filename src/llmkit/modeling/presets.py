"""Shapes of models by name: `model: llama-7m` stands for an architecture and its sizes.

Widths are multiples of 64, heads are 64 wide (128 from a billion parameters on), so that matrix products fill the
tiles of CPUs and GPUs. A name counts all parameters, tied ones once, at the vocabulary of its row; another vocabulary
makes the model larger or smaller.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Preset(NamedTuple):
    """A shape.

    Attributes:
        arch: Its transformers `model_type`.
        vocab_size: The vocabulary at which `parameters` holds; it is not a setting: the tokenizer decides.
        parameters: What the name promises, within 10%.
        config: Settings, by the field names of the architecture's config class.
    """

    arch: str
    vocab_size: int
    parameters: float
    config: dict[str, Any]


def _decoder(
    arch: str, vocab: int, parameters: float, layers: int, hidden: int, inner: int, heads: int, groups: int, **more: Any
) -> Preset:
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": inner}
    attention = {"num_attention_heads": heads, "num_key_value_heads": groups}
    return Preset(arch, vocab, parameters, {**sizes, **attention, "tie_word_embeddings": True, **more})


def _gpt2(vocab: int, parameters: float, layers: int, hidden: int, heads: int) -> Preset:
    return Preset("gpt2", vocab, parameters, {"n_layer": layers, "n_embd": hidden, "n_head": heads})


def _encoder(
    arch: str, vocab: int, parameters: float, layers: int, hidden: int, inner: int, heads: int, **more: Any
) -> Preset:
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": inner}
    return Preset(arch, vocab, parameters, {**sizes, "num_attention_heads": heads, **more})


def _t5(parameters: float, layers: int, hidden: int, inner: int, heads: int) -> Preset:
    sizes = {"num_layers": layers, "d_model": hidden, "d_ff": inner, "num_heads": heads, "d_kv": 64}
    return Preset("t5", 32128, parameters, sizes)


PRESETS = {
    "llama-1m": _decoder("llama", 4096, 1e6, 2, 128, 384, 2, 2),
    "llama-3m": _decoder("llama", 16384, 3e6, 4, 128, 384, 2, 2),
    "llama-7m": _decoder("llama", 16384, 7e6, 4, 256, 640, 4, 4),
    "llama-30m": _decoder("llama", 16384, 30e6, 7, 512, 1408, 8, 8),
    "llama-60m": _decoder("llama", 16384, 60e6, 10, 640, 1728, 10, 10),
    "llama-125m": _decoder("llama", 32768, 125e6, 14, 768, 2048, 12, 12),
    "llama-350m": _decoder("llama", 32768, 350e6, 24, 1024, 2816, 16, 16),
    "llama-1b": _decoder("llama", 32768, 1e9, 18, 2048, 5632, 16, 16),
    "qwen3-30m": _decoder("qwen3", 16384, 30e6, 7, 512, 1408, 8, 4, head_dim=64),
    "qwen3-0.6b": _decoder("qwen3", 151936, 596e6, 28, 1024, 3072, 16, 8, head_dim=128),
    "gpt2-10m": _gpt2(16384, 10e6, 7, 256, 4),
    "gpt2-124m": _gpt2(50257, 124e6, 12, 768, 12),
    "bert-mini": _encoder("bert", 30522, 11.2e6, 4, 256, 1024, 4),
    "bert-small": _encoder("bert", 30522, 28.8e6, 4, 512, 2048, 8),
    "bert-base": _encoder("bert", 30522, 110e6, 12, 768, 3072, 12),
    "albert-mini": _encoder("albert", 30000, 4.9e6, 4, 256, 1024, 4, embedding_size=128),
    "albert-base": _encoder("albert", 30000, 11.8e6, 12, 768, 3072, 12, embedding_size=128),
    "t5-mini": _t5(15.6e6, 4, 256, 1024, 4),
    "t5-small": _t5(60.5e6, 6, 512, 2048, 8),
    "t5-base": _t5(223e6, 12, 768, 3072, 12),
}
"""Where a shape of that name was published (GPT-2, Qwen3 0.6B, BERT, Turc et al. 2019, ALBERT, T5), it is that."""
