"""Models of a few thousand parameters, one of each shape that adapters meet, and what their tests do with them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

SIZES: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "pad_token_id": None,
}  # fmt: skip
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8, "head_dim": 8}
MODELS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "tied": (AutoModelForCausalLM, "llama", {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    "untied": (AutoModelForCausalLM, "llama", {"num_key_value_heads": 1, "tie_word_embeddings": False}),
    "conv1d": (AutoModelForCausalLM, "gpt2", {"n_positions": 32}),
    "mixture": (AutoModelForCausalLM, "qwen3_moe", {**MIXTURE, "num_key_value_heads": 1}),
    "recurrent": (AutoModelForCausalLM, "mamba", {"state_size": 4}),
    "encoder": (AutoModelForMaskedLM, "bert", {}),
    "labels": (AutoModelForSequenceClassification, "bert", {"num_labels": 3}),
    "decoder labels": (AutoModelForSequenceClassification, "llama", {"num_labels": 3, "pad_token_id": 0}),
}
PEFT_OWN = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
"""peft still asks transformers by the old name."""
IDS = torch.arange(1, 21).view(2, 10)


def made(name: str) -> Any:
    auto, arch, settings = MODELS[name]
    sizes = {key: value for key, value in SIZES.items() if arch not in ("gpt2", "mamba") or key != "intermediate_size"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = auto.from_config(AutoConfig.for_model(arch, **{**sizes, **settings})).eval()
    model.config.architectures = [type(model).__name__]  # as a saved one's
    return model


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def stirred(model: Any) -> Any:
    """Give everything that is trained other values, as training would."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def trained_names(model: Any) -> set[str]:
    return {name.removeprefix("base_model.model.") for name, p in model.named_parameters() if p.requires_grad}
