"""What stands beside the graphs: the model's configs, as transformers.js reads them, and that of onnxruntime-genai."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.durable import write_json
from llmkit.modeling.architecture import position_limit

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

GENAI_CONFIG = "genai_config.json"
SETTINGS = "transformers.js_config"
UNLIMITED = 2**15
"""Positions that onnxruntime-genai is told of a model without a limit: it makes room for so many."""
GENAI_TYPE = "llama"
"""What onnxruntime-genai takes a graph for: one with these inputs. Of a `gpt2` it expects others, and some names, as
`gpt_neox`, it does not have."""


def write_configs(model: PreTrainedModel, directory: Path, settings: Mapping[str, Any]) -> None:
    """Write config.json and generation_config.json.

    Args:
        model: The model.
        directory: Where to.
        settings: For transformers.js: the number format, and which graphs have their weights in a file beside.
    """
    setattr(model.config, SETTINGS, dict(settings))
    model.config.save_pretrained(directory)
    if model.can_generate():
        model.generation_config.save_pretrained(directory)


def write_genai(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    directory: Path,
    file: str,
    caches: list[tuple[int, int]],
) -> None:
    """Write what onnxruntime-genai needs to run a decoder.

    Args:
        model: The decoder.
        tokenizer: Its tokenizer.
        directory: Where to.
        file: The graph, below the directory.
        caches: Heads in each layer's keys and values, and their size.
    """
    config, generation = model.config.get_text_config(), model.generation_config
    ends = generation.eos_token_id if generation.eos_token_id is not None else tokenizer.eos_token_id
    first = ends[0] if isinstance(ends, list) else ends
    start = next((i for i in (config.bos_token_id, tokenizer.bos_token_id, first) if i is not None), 0)
    pad = next((i for i in (config.pad_token_id, tokenizer.pad_token_id, first) if i is not None), 0)
    heads, size = caches[0]
    length = position_limit(model.config) or UNLIMITED
    past = {f"past_{kind}_names": f"past_key_values.%d.{kind}" for kind in ("key", "value")}
    present = {f"present_{kind}_names": f"present.%d.{kind}" for kind in ("key", "value")}
    names = {name: name for name in ("input_ids", "attention_mask", "position_ids")}
    decoder = {
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
        "filename": file,
        "head_size": size,
        "hidden_size": config.hidden_size,
        "inputs": {**names, **past},
        "outputs": {"logits": "logits", **present},
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_layers": len(caches),
        "num_key_value_heads": heads,
    }
    search = {
        "do_sample": False,
        "max_length": length,
        "min_length": 0,
        "num_beams": 1,
        "past_present_share_buffer": False,
    }
    content = {
        "model": {
            "type": GENAI_TYPE, "vocab_size": config.vocab_size,
            "context_length": length, "bos_token_id": start, "eos_token_id": ends if ends is not None else start,
            "pad_token_id": pad, "decoder": decoder,
        },
        "search": search,
    }  # fmt: skip
    write_json(directory / GENAI_CONFIG, content)
