"""What stands in a GGUF file under which name, as far as it is both read and written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROPE_FREQS = "rope_freqs.weight"
"""Tensor with the numbers that frequencies are divided by, where that is Llama 3's way of stretching positions."""
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""How all published Llama 3.x stretch their positions; the factor alone differs."""
TEMPLATE = "tokenizer.chat_template"
ROLES = {
    "bos_token": "tokenizer.ggml.bos_token_id", "eos_token": "tokenizer.ggml.eos_token_id",
    "unk_token": "tokenizer.ggml.unknown_token_id", "pad_token": "tokenizer.ggml.padding_token_id",
}  # fmt: skip
"""Special tokens of any tokenizer."""
ENDS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
"""What ends writing: the text, a turn, a message."""

AS_GPT2 = (
    None, "default", "gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "roberta-bpe", "trillion", "granite-docling",
)  # fmt: skip
"""`tokenizer.ggml.pre` of vocabularies that cut text as GPT-2's."""
DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
"""Those that cut as GPT-2's does, and between any two digits, by llama.cpp's table; transformers leaves that out."""

_LINES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
GPT2 = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
)
"""The expression of GPT-2, in the two ways in which it is written."""
_ENDS = "\r\n"  # published as the characters themselves, not as escapes
_DEEPSEEK = (
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    """[!"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"""
    rf"|[^{_ENDS}\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[{_ENDS}]*|\s*[{_ENDS}]+|\s+(?!\S)|\s+",
)
CUTS: dict[tuple[str, ...], str] = {
    (GPT2[0],): AS_GPT2[2] or "",
    (r"\p{N}", GPT2[0]): DIGITS_APART[0],
    (rf"{_WORDS}|\p{{N}}{{1,3}}|{_SIGNS}|{_LINES}",): "llama-bpe",
    (rf"{_WORDS}|\p{{N}}|{_SIGNS}|{_LINES}",): "qwen2",
    _DEEPSEEK: "deepseek-v3",
}
"""The expressions that cut text one after the other, and what llama.cpp calls their rules. Others, such as GPT-4o's, it
has rewritten for its own engine: of 6,000 random texts it cut 1,381 otherwise, and of these none."""
WHOLE_FIRST = frozenset({"llama-bpe"})
"""Rules by which a word that is a token is one, whatever the merges say (`ignore_merges`)."""


def llama3_factors(settings: dict[str, Any], theta: float, count: int) -> NDArray[np.float64]:
    """Return by what Llama 3's rule divides each frequency `[count]`.

    Args:
        settings: `factor` and those of `LLAMA3`.
        theta: The base of the frequencies.
        count: How many there are: half of what a head turns.
    """
    turns = settings["original_max_position_embeddings"] / (2 * np.pi * theta ** (np.arange(count) / count))
    low, high = settings["low_freq_factor"], settings["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    found: NDArray[np.float64] = 1 / ((1 - smooth) / settings["factor"] + smooth)
    return found
