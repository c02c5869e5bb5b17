"""Architectures whose traced graphs were compared with the model, whatever runtime the graph is for."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

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


def why_not_traced(config: PreTrainedConfig, known: Collection[str]) -> str | None:
    """Return why a model has no graph: its architecture was not tried, or its numbers depend on the text's length."""
    if config.model_type not in known:
        return f"the architecture '{config.model_type}' is none that was tried; these were: {', '.join(sorted(known))}"
    rope = getattr(config, "rope_parameters", None) or {}
    if (kind := rope.get("rope_type")) in CHANGING_ROPE:
        return f"its rotary embedding, {kind}, changes with the length of the text, and a graph has one"
    return None
