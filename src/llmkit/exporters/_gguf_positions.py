"""How positions are turned, and stretched, as a GGUF file says it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from llmkit.modeling.gguf_keys import llama3_factors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig

WHOLE = "full_attention"
KINDS = ("default", "linear", "yarn", "llama3")


def why_not(config: PreTrainedConfig) -> str | None:
    """Return why positions are not turned by llama.cpp as a config says; None if they are."""
    rope = _rope(config)
    kind = rope.get("rope_type", "default")
    if kind not in KINDS:
        return f"llama.cpp has no way of stretching positions that is called '{kind}'; valid: {', '.join(KINDS)}"
    if kind == "yarn":
        own, usual = rope.get("attention_factor"), 0.1 * math.log(rope["factor"]) + 1
        if own is not None and not math.isclose(own, usual, rel_tol=1e-6):
            return f"llama.cpp scales attention under yarn by {usual:.4g}, and this config by {own:.4g}"
        if rope.get("mscale") or rope.get("mscale_all_dim") or rope.get("truncate") is False:
            return "llama.cpp has no mscale and no truncate: false for yarn"
    if rope.get("partial_rotary_factor", 1.0) != 1.0 and config.model_type != "phi3":
        return f"llama.cpp turns the whole of a head of a {config.model_type}, and this config a part"
    return None


def settings(config: PreTrainedConfig) -> dict[str, Any]:
    """Return what the file says, by the names of its settings without the architecture's."""
    rope = _rope(config)
    if not rope:
        return {}
    found: dict[str, Any] = {"rope.freq_base": float(rope["rope_theta"])}
    kind = rope.get("rope_type", "default")
    if kind in ("linear", "yarn"):
        found |= {"rope.scaling.type": kind, "rope.scaling.factor": float(rope["factor"])}
    if kind in ("yarn", "llama3"):
        length = rope.get("original_max_position_embeddings") or config.max_position_embeddings
        found["rope.scaling.original_context_length"] = int(length)
    for side in ("beta_fast", "beta_slow"):
        if kind == "yarn" and rope.get(side) is not None:
            found[f"rope.scaling.yarn_{side}"] = float(rope[side])
    return found


def factors(config: PreTrainedConfig) -> NDArray[np.float32] | None:
    """Return what frequencies are divided by, where that is Llama 3's way; llama.cpp reads it from a tensor."""
    rope = _rope(config)
    if rope.get("rope_type") != "llama3":
        return None
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return llama3_factors(rope, rope["rope_theta"], width // 2).astype("float32")


def _rope(config: PreTrainedConfig) -> dict[str, Any]:
    """Return the rule of the layers that see everything; nothing for learned positions."""
    found = getattr(config, "rope_parameters", None) or {}
    return dict(found.get(WHOLE, found))
