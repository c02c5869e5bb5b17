"""Small encoders with heads over texts, saved with a tokenizer that reads any English: letters, and a few signs."""

from __future__ import annotations

from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from llmkit.core.registry import Family

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, *".,!?'0123456789", *ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase), "the", "and"]
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
POSITIONS = 48
SENTIMENT = {"type": "sequence_classification", "labels": ["bad", "good", "fair"]}
TOPICS = {**SENTIMENT, "problem_type": "multi_label_classification"}
STARS = {"type": "sequence_classification", "problem_type": "regression"}
NAMES = {"type": "token_classification", "labels": ["O", "B-PER", "I-PER", "B-LOC"]}
READER, BODY = {"type": "question_answering"}, {"type": "embedding"}


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """A token a letter, `##` ones within words; `[CLS]` and `[SEP]` around."""
    raw = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", WORDS.index("[CLS]")), ("[SEP]", WORDS.index("[SEP]"))],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def save_headed(folder: Path, spec: dict[str, Any], arch: str = "bert", **config: Any) -> Path:
    """A model of random weights, whose answers differ by the text, with the tokenizer as a training leaves it."""
    head = Family("head").parse(spec)
    settings = {**SMALL, "max_position_embeddings": POSITIONS, "pad_token_id": 0, **config}
    made = transformers.AutoConfig.for_model(arch, vocab_size=len(WORDS), **settings)
    head.configure(made, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = head.auto_model().from_config(made)
        for weight in model.parameters():
            weight.data.normal_(0, 0.5 if weight.ndim > 1 else 0.1)
    model.save_pretrained(folder)
    reads = tokenizer()
    if getattr(made, "type_vocab_size", 0) < 2:  # GPT-2 would add the embeddings of tokens 0 and 1
        reads.model_input_names = [name for name in reads.model_input_names if name != "token_type_ids"]
    reads.save_pretrained(folder)
    return folder
