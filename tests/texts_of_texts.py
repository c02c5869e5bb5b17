"""Small encoder-decoders that make texts of texts, with a tokenizer of bytes that puts EOS behind a text, as T5's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import processors

from tiny import byte_tokenizer

SIZES: dict[str, dict[str, Any]] = {
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
    "bart": {
        "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 96,
        "dropout": 0.0,
    },
}  # fmt: skip
SIZES["marian"] = {**SIZES["bart"], "scale_embedding": True}
ARCHITECTURES = tuple(SIZES)


def two_sided_tokenizer(arch: str = "t5") -> transformers.PreTrainedTokenizerFast:
    """Bytes, with `</s>` behind a text; of BART with `<s>` before it, too."""
    tokenizer = byte_tokenizer(template=None)
    eos = ("<|eos|>", tokenizer.eos_token_id)
    single, added = "$A <|eos|>", [eos]
    if arch == "bart":
        single, added = f"<|bos|> {single}", [("<|bos|>", tokenizer.bos_token_id), eos]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=added)
    return tokenizer


def two_sided_model(arch: str, tokenizer: transformers.PreTrainedTokenizerFast, **more: Any) -> Any:
    """A model of random weights without dropout, large enough that answers differ by the source."""
    start = tokenizer.eos_token_id if arch == "bart" else tokenizer.pad_token_id
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
           "bos_token_id": tokenizer.bos_token_id, "decoder_start_token_id": start}  # fmt: skip
    if arch != "t5":
        ids["forced_eos_token_id"] = tokenizer.eos_token_id
    settings = {"dropout_rate": 0.0} if arch == "t5" else {}
    config = transformers.AutoConfig.for_model(
        arch, vocab_size=len(tokenizer), **{**SIZES[arch], **settings, **ids, **more}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return transformers.AutoModelForSeq2SeqLM.from_config(config).eval()


def save_two_sided(folder: Path, arch: str = "t5", **more: Any) -> Path:
    """Save both."""
    tokenizer = two_sided_tokenizer(arch)
    two_sided_model(arch, tokenizer, **more).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
