"""Small bodies with heads, a tokenizer of words, and batches of encoded rows, for objectives over labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from llmkit.data.packing import Batch, EncodedRows, Example
from llmkit.modeling.load import load_model
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows import RowObjective

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "##b", "##c", "京", "北", "我"]
SIZES = {"vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
         "num_attention_heads": 2, "max_position_embeddings": 32, "pad_token_id": 0}  # fmt: skip
BODIES = ("bert", "llama")


def _tokenizer() -> transformers.PreTrainedTokenizerFast:
    raw = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


TOKENIZER = _tokenizer()
"""One token a letter, `##` ones within words, one a Chinese character; `[CLS]` and `[SEP]` around."""


def headed(folder: Path, body: str, objective: RowObjective) -> Any:
    """Return a model of random weights with the objective's head, without dropout."""
    torch.manual_seed(0)
    if body == "bert":
        transformers.BertModel(transformers.BertConfig(**SIZES)).save_pretrained(folder)
    else:
        transformers.LlamaModel(transformers.LlamaConfig(**SIZES)).save_pretrained(folder)
    return load_model(folder, objective.model_head(), seed=0, pad_token_id=0).eval()


def batch_of(objective: RowObjective, examples: list[Example]) -> Batch:
    """Return the rows as training gets them, in their order."""
    rows = EncodedRows.of(objective.columns(vocabulary_of(TOKENIZER)), examples)
    columns = {"num_tokens": rows.num_tokens, **rows.padded(np.arange(len(examples)))}
    return Batch(numbers=np.arange(len(examples)), pads=rows.pads, **columns)
