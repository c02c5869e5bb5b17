"""Architectures whose traced graphs were compared with the model, whatever runtime the graph is for."""

from __future__ import annotations

DECODERS = frozenset({
    "gemma", "gemma2", "gpt2", "gpt_neox", "granite", "llama", "mistral", "olmo2", "opt", "phi", "phi3", "qwen2",
    "qwen3", "smollm3", "stablelm", "starcoder2",
})  # fmt: skip
"""Architectures of decoders whose graphs were compared, each by a test: of others the cache may be anything."""
ENCODERS = frozenset({
    "albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta",
    "xlm-roberta",
})  # fmt: skip
CHANGING_ROPE = frozenset({"dynamic", "longrope"})
"""Rotary embeddings whose angles depend on how long the text is; a graph has those of the sample."""
