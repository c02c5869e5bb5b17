"""Models of a few thousand parameters of every architecture that is written to ONNX, and their exports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from headed import WORDS, save_headed, tokenizer
from llmkit.exporters.onnx import Onnx
from llmkit.runtimes import Running
from llmkit.runtimes._onnx_running import OnnxRunning
from llmkit.runtimes.transformers import Transformers

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED = {**SMALL, "num_key_value_heads": 2}
SIDED = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64,
}  # fmt: skip
T5 = {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
DECODERS: dict[str, dict[str, Any]] = {
    "gemma": {**GROUPED, "head_dim": 16},
    "gemma2": {**GROUPED, "head_dim": 16, "sliding_window": 8},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "gpt_neox": {**SMALL, "max_position_embeddings": 64},
    "granite": GROUPED,
    "llama": {**GROUPED, "tie_word_embeddings": True},
    "mistral": {**GROUPED, "sliding_window": 8, "head_dim": 8},
    "olmo2": GROUPED,
    "opt": {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "word_embed_proj_dim": 32, "max_position_embeddings": 64},
    "phi": {**GROUPED, "max_position_embeddings": 64},
    "phi3": {**GROUPED, "max_position_embeddings": 64, "original_max_position_embeddings": 64},
    "qwen2": GROUPED,
    "qwen3": {**GROUPED, "head_dim": 16},
    "smollm3": GROUPED,
    "stablelm": {**GROUPED, "max_position_embeddings": 64},
    "starcoder2": {**GROUPED, "max_position_embeddings": 64},
}  # fmt: skip
TWO_SIDED = {"bart": SIDED, "marian": SIDED, "mbart": SIDED, "mt5": T5, "t5": T5}
ENCODERS: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 8}, "bert": {}, "camembert": {"pad_token_id": 0}, "deberta-v2": {}, "distilbert": {},
    "electra": {"embedding_size": 8}, "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8},
    "mpnet": {}, "roberta": {}, "xlm-roberta": {},
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A model as transformers runs it, its export, and the export as onnxruntime runs it."""

    ours: Running
    theirs: OnnxRunning
    folder: Path


def save_writer(folder: Path, arch: str, **more: Any) -> Path:
    """A model that writes, of random weights that are far enough apart for it to have opinions."""
    settings = {**(DECODERS | TWO_SIDED)[arch], "bos_token_id": 2, "eos_token_id": 4, "pad_token_id": 0, **more}
    if arch in ("bart", "marian", "mbart"):
        settings["decoder_start_token_id"] = 0
    config = transformers.AutoConfig.for_model(arch, vocab_size=len(WORDS), **settings)
    auto = transformers.AutoModelForSeq2SeqLM if arch in TWO_SIDED else transformers.AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = auto.from_config(config)
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def export(model: Path, folder: Path, dtype: str = "float32") -> Pair:
    """Write a model to ONNX, and load both sides. The model in memory is not the one that was traced."""
    traced = Transformers().load(str(model))
    folder.mkdir(exist_ok=True)
    Onnx(dtype=dtype).write(traced.model, traced.tokenizer, folder)
    theirs = Onnx().runtime().load(str(folder))
    assert isinstance(theirs, OnnxRunning)
    return Pair(Transformers().load(str(model)), theirs, folder)


def random_rows(lengths: tuple[int, ...], seed: int = 0) -> list[tuple[int, ...]]:
    """Rows of random ids."""
    random = np.random.default_rng(seed)
    return [tuple(random.integers(0, len(WORDS), length).tolist()) for length in lengths]


def save_reader(folder: Path, arch: str, spec: dict[str, Any]) -> Path:
    """A model with a head over texts."""
    more = dict(ENCODERS.get(arch, {}))
    if arch in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        more["max_position_embeddings"] = 66
    return save_headed(folder, spec, arch, **more)
