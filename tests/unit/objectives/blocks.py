"""Blocks, vocabularies and models of a few thousand parameters for the tests of objectives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers

from llmkit.core.registry import Family
from llmkit.data.packing import IGNORED, Batch
from llmkit.modeling.vocabulary import Vocabulary

PAD, BOS, EOS, UNK, CLS, SEP, MASK, PRE, SUF, MID = range(10)
FIRST, SIZE = 10, 70
NAMES = {"<|fim_prefix|>": PRE, "<|fim_suffix|>": SUF, "<|fim_middle|>": MID}
SENTINELS = {f"<extra_id_{i}>": SIZE - 1 - i for i in range(10)}
ROLES = {"[PAD]": PAD, "<s>": BOS, "</s>": EOS, "[UNK]": UNK, "[CLS]": CLS, "[SEP]": SEP, "[MASK]": MASK}
VOCABULARY = Vocabulary(
    SIZE, bos=BOS, eos=EOS, pad=PAD, cls=CLS, sep=SEP, mask=MASK, unk=UNK, ids={**ROLES, **NAMES, **SENTINELS}
)
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.3}
GROUPED = TINY | {"intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8}
ENCODER = TINY | {"intermediate_size": 32, "max_position_embeddings": 80}
SETTINGS: dict[str, dict[str, Any]] = {
    "llama": {k: v for k, v in GROUPED.items() if k != "head_dim"},
    "qwen3": GROUPED,
    "mistral": GROUPED,
    "gpt2": TINY | {"n_positions": 80},
    "bert": ENCODER,
    "roberta": ENCODER | {"pad_token_id": 1},
    "albert": ENCODER | {"embedding_size": 8},
    "modernbert": TINY | {"intermediate_size": 32},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "initializer_factor": 1.0},
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.3},
}


def block(*rows: list[list[int]], length: int, follows: list[int] | None = None, first: int = 0) -> Batch:
    """Blocks of whole documents, one list of documents a row, as a packer gives them."""
    shape = (len(rows), length)
    ids, labels = np.full(shape, PAD, np.int64), np.full(shape, IGNORED, np.int64)
    positions = np.zeros(shape, np.int64)
    ends = np.zeros(len(rows), np.int64)
    for row, documents in enumerate(rows):
        at = 0
        for document in documents:
            part = slice(at, at + len(document))
            ids[row, part], positions[row, part] = document, np.arange(len(document))
            labels[row, part] = [*document[1:], IGNORED]
            at += len(document)
        positions[row, at:] = np.arange(length - at)
        ends[row] = at
    numbers = np.arange(first, first + len(rows))
    return Batch(
        input_ids=ids,
        labels=labels,
        position_ids=positions,
        num_tokens=ends,
        numbers=numbers,
        follows=np.array(follows or [1] * len(rows), np.int64),
    )


def texts(count: int, *, seed: int = 0, longest: int = 20) -> list[list[int]]:
    """Documents of 3 and more ordinary tokens."""
    generator = np.random.default_rng(seed)
    return [
        generator.integers(FIRST, SIZE - len(SENTINELS), generator.integers(3, longest + 1)).tolist()
        for _ in range(count)
    ]


def packed(objective: Any, rows: int = 4, documents: int = 3, *, seed: int = 0) -> Batch:
    """Blocks of some documents each, with what the objective puts around them."""
    prefix, suffix = objective.around(VOCABULARY)
    made = texts(rows * documents, seed=seed)
    wrapped = [[*prefix, *document, *suffix] for document in made]
    return block(*(wrapped[i * documents : (i + 1) * documents] for i in range(rows)), length=66, first=seed * rows)


def model(arch: str, head: str, attention: str = "sdpa", **settings: Any) -> Any:
    """A model with the same weights every time, large ones, so that a leak is far above rounding."""
    given = {"vocab_size": SIZE, "pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
    if arch == "t5":
        given["decoder_start_token_id"] = PAD
    if arch == "modernbert":
        given |= {"cls_token_id": CLS, "sep_token_id": SEP}
    config = transformers.AutoConfig.for_model(arch, **{**given, **SETTINGS[arch], **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Family("head").parse(head).auto_model().from_config(config, attn_implementation=attention)
    return made.eval()
