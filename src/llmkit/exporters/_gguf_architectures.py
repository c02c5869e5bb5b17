"""What llama.cpp calls an architecture, what its file has to say of a config, and how its weights lie in it.

Names of tensors are those of the package `gguf`, by which transformers reads them as well. What llama.cpp computes
otherwise than the config says, without a word, is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import nearest

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig

Settings = dict[str, Any]
Change = Callable[[str, "torch.Tensor", Any], "torch.Tensor"]

WINDOWED = "sliding_attention"
NTH = {2: "second", 6: "sixth"}


@dataclass(frozen=True)
class Architecture:
    """An architecture.

    Attributes:
        name: llama.cpp's.
        settings: What the file says of a config, by the names of its settings without the architecture's.
        refuses: Why llama.cpp would compute a config otherwise; None if it does not.
        change: A weight, by its name in transformers, as the file has it.
        restore: The matrix that `change` makes into another.
        left_out: Parts of a model that its answers do not need.
        answer: The kind of answer of models that are written.
    """

    name: str
    settings: Callable[[Any], Settings]
    refuses: Callable[[Any], str | None] = lambda _: None
    change: Change = lambda _name, weight, _config: weight
    restore: Change = lambda _name, weight, _config: weight
    left_out: tuple[str, ...] = ()
    answer: str = "tokens"


def find(config: PreTrainedConfig) -> Architecture:
    """Return the architecture of a config that is not refused."""
    return ARCHITECTURES[config.model_type]


def why_not(config: PreTrainedConfig, answer: str) -> str | None:
    """Return why a model cannot be written; None if it can.

    Args:
        config: The model's.
        answer: The kind of answer of its head.
    """
    known = ARCHITECTURES.get(config.model_type)
    if known is None:
        words = nearest(config.model_type, ARCHITECTURES)
        listed = "" if words.startswith("; valid") else f"; valid: {', '.join(sorted(ARCHITECTURES))}"
        return f"it is a {config.model_type}, which is not written to GGUF{words}{listed}"
    if answer != known.answer:
        kind = "writes text" if known.answer == "tokens" else "gives vectors"
        return f"llama.cpp runs a {config.model_type} that {kind}, and this one was saved as {_saved_as(config)}"
    return known.refuses(config)


def _saved_as(config: PreTrainedConfig) -> str:
    return ", ".join(config.architectures or ["a model without a head"])


def _common(config: Any) -> Settings:
    """Return what is said of a decoder that turns positions."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": heads,
        "attention.head_count_kv": getattr(config, "num_key_value_heads", None) or heads,
        "attention.key_length": width,
        "attention.value_length": width,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.dimension_count": width,
        "vocab_size": config.vocab_size,
    }


def _rotated(name: str, weight: torch.Tensor, config: Any) -> torch.Tensor:
    """Return the rows of a projection in the order in which llama.cpp rotates them: neighbours, not halves."""
    return _reordered(name, weight, config, (2, -1))


def _halved(name: str, weight: torch.Tensor, config: Any) -> torch.Tensor:
    """Return the rows of a projection in the order in which transformers rotates them: halves, not neighbours."""
    return _reordered(name, weight, config, (-1, 2))


def _reordered(name: str, weight: torch.Tensor, config: Any, shape: tuple[int, int]) -> torch.Tensor:
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return weight
    return weight.reshape(heads, *shape, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)


def _transposed(name: str, weight: torch.Tensor, _config: Any) -> torch.Tensor:
    """Return the weight of a layer that GPT-2 keeps by columns."""
    return weight.T if name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")) else weight


def _lifted(name: str, weight: torch.Tensor, _config: Any) -> torch.Tensor:
    """Return the weight of a norm that Gemma adds one to."""
    return weight + 1 if name.endswith("norm.weight") else weight


def _activation(config: Any, *allowed: str) -> str | None:
    named = next(
        (str(found) for key in ("hidden_activation", "hidden_act", "activation_function")
         if (found := getattr(config, key, None)) is not None), "",
    )  # fmt: skip
    if named in allowed:
        return None
    return f"llama.cpp computes a {config.model_type} with {allowed[0]}, and this one has {named}"


def _no_window(config: Any) -> str | None:
    """Return why a window is refused: of these architectures llama.cpp has none."""
    window, positions = getattr(config, "sliding_window", None), config.max_position_embeddings
    layers = getattr(config, "layer_types", None)
    unused = layers is not None and WINDOWED not in layers
    if not window or unused or window >= positions or getattr(config, "use_sliding_window", True) is False:
        return None
    return (
        f"llama.cpp has no sliding window for a {config.model_type}: from {window:,} tokens on it would answer"
        f" otherwise, and the config allows {positions:,}"
    )


def _silu(config: Any) -> str | None:
    return _activation(config, "silu", "swish") or _no_window(config)


def _gpt2(config: Any) -> Settings:
    return {
        "context_length": config.n_positions,
        "embedding_length": config.n_embd,
        "block_count": config.n_layer,
        "feed_forward_length": config.n_inner or 4 * config.n_embd,
        "attention.head_count": config.n_head,
        "attention.layer_norm_epsilon": float(config.layer_norm_epsilon),
    }


def _gpt2_refuses(config: Any) -> str | None:
    if config.scale_attn_by_inverse_layer_idx or not config.scale_attn_weights:
        return "llama.cpp scales attention by the size of a head alone, and this config says otherwise"
    if config.add_cross_attention:
        return "llama.cpp has no cross attention for a gpt2"
    return _activation(config, "gelu_new", "gelu_pytorch_tanh")


def _phi3(config: Any) -> Settings:
    width = config.hidden_size // config.num_attention_heads
    turned = int(width * (config.rope_parameters or {}).get("partial_rotary_factor", 1.0))
    found = {**_common(config), "rope.dimension_count": turned, "attention.sliding_window": 0}
    original = getattr(config, "original_max_position_embeddings", None)
    return found | ({"rope.scaling.original_context_length": original} if original else {})


def _gemma_refuses(config: Any) -> str | None:
    if getattr(config, "use_bidirectional_attention", False):
        return "llama.cpp looks to the left only in a gemma, and this config looks to both sides"
    return _activation(config, "gelu_pytorch_tanh", "gelu_new")


def _gemma2(config: Any) -> Settings:
    return {
        **_common(config),
        "attention.sliding_window": config.sliding_window,
        "attn_logit_softcapping": float(config.attn_logit_softcapping or 0),
        "final_logit_softcapping": float(config.final_logit_softcapping or 0),
    }


def _windows_every(config: Any, pattern: int, layers_27b: int) -> str | None:
    """Return why a model is refused whose layers have windows otherwise than llama.cpp's, or another scale."""
    whole = [(i + 1) % pattern == 0 for i in range(config.num_hidden_layers)]
    if [kind != WINDOWED for kind in config.layer_types] != whole:
        return f"llama.cpp gives windows to all layers but every {NTH[pattern]}, and this config to others"
    largest = config.num_hidden_layers == layers_27b
    scale = config.hidden_size // config.num_attention_heads if largest else config.head_dim
    if config.query_pre_attn_scalar != scale:
        own = config.query_pre_attn_scalar
        return f"llama.cpp divides attention by the root of {scale}, and this config by that of {own}"
    return _gemma_refuses(config)


def _gemma2_refuses(config: Any) -> str | None:
    if not config.attn_logit_softcapping or not config.final_logit_softcapping:
        return "llama.cpp caps the logits of a gemma2, and this config does not"
    return _windows_every(config, 2, 46)


def _gemma3(config: Any) -> Settings:
    return {**_common(config), "attention.sliding_window": config.sliding_window}


def _gemma3_refuses(config: Any) -> str | None:
    if config.attn_logit_softcapping or config.final_logit_softcapping:
        return "llama.cpp caps no logits of a gemma3, and this config does"
    local = (config.rope_parameters or {}).get(WINDOWED, {})
    if local.get("rope_theta", 1e4) != 1e4 or local.get("rope_type", "default") != "default":
        return "llama.cpp turns the positions of layers with a window by the base 10,000, and this config otherwise"
    return _windows_every(config, 6, 62)


def _bert(config: Any) -> Settings:
    return {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.layer_norm_epsilon": float(config.layer_norm_eps),
        "attention.causal": False,
        "vocab_size": config.vocab_size,
    }


def _bert_refuses(config: Any) -> str | None:
    if config.is_decoder:
        return "llama.cpp reads a bert from both sides, and this config from the left"
    return _activation(config, "gelu", "gelu_new", "gelu_pytorch_tanh")


BY_TABLE = frozenset({"gemma", "gemma2", "gemma3_text", "gpt2", "bert"})
"""Those with GELU."""
ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture("llama", _common, _silu, _rotated, _halved),
    "mistral": Architecture("llama", _common, _silu, _rotated, _halved),
    "qwen2": Architecture("qwen2", _common, _silu),
    "qwen3": Architecture("qwen3", _common, _silu),
    "phi3": Architecture("phi3", _phi3, _silu),
    "gemma": Architecture("gemma", _common, _gemma_refuses, _lifted),
    "gemma2": Architecture("gemma2", _gemma2, _gemma2_refuses, _lifted),
    "gemma3_text": Architecture("gemma3", _gemma3, _gemma3_refuses, _lifted),
    "gpt2": Architecture("gpt2", _gpt2, _gpt2_refuses, _transposed, _transposed),
    "bert": Architecture("bert", _bert, _bert_refuses, left_out=("pooler.",), answer="vector"),
}
"""By transformers' names."""
