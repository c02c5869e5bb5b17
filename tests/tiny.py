"""The smallest real things training tests need: documents, a byte-level tokenizer, models and a trainer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from llmkit.core.console import Console
from llmkit.data.feeds import Feed, HeldOut
from llmkit.data.order import Order
from llmkit.data.packing import Column, EncodedRows, Example, Packer, RowPacker, StreamPacker
from llmkit.data.rendering import CHAT_TEMPLATE
from llmkit.modeling.companions import Models
from llmkit.modeling.vocabulary import Vocabulary
from llmkit.objectives import Objective
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.training.config import TrainingConfig
from llmkit.training.job import Job
from llmkit.training.loop import Trainer
from llmkit.training.metrics import TIMINGS

BOS, EOS, VOCABULARY, CONTEXT = 0, 1, 61, 16


class InMemory:
    """Documents as `StreamPacker` reads them."""

    def __init__(self, documents):
        self.offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        self._flat = np.array([*chain(*documents)], dtype=np.int64)

    def gather(self, positions):
        return self._flat[positions]


def documents(count: int) -> list[list[int]]:
    """Documents of 1 to 23 ids, in which the next id often follows from the last: there is something to learn."""
    return [[2 + (7 * i + j * j * (1 + i % 3)) % (VOCABULARY - 2) for j in range(1 + 5 * i % 23)] for i in range(count)]


def stream(count: int = 60, *, seed: int | None = 0) -> StreamPacker:
    return StreamPacker(InMemory(documents(count)), CONTEXT, prefix=[BOS], suffix=[EOS], seed=seed)


def rows(count: int = 60, *, seed: int | None = 0) -> RowPacker:
    """Rows of which the last third is learned, so that blocks differ in their number of targets."""
    made = []
    for document in documents(count):
        ids = [BOS, *document][:CONTEXT]
        labels = [*ids[1:], EOS]
        made.append((ids, [-100] * (2 * len(ids) // 3) + labels[2 * len(ids) // 3 :]))
    return RowPacker(encoded(made), CONTEXT, seed=seed)


def encoded(rows: list[tuple[Any, Any]]) -> EncodedRows:
    """Pairs of ids and labels as `RowPacker` reads them."""
    columns = {"input_ids": Column(), "labels": Column(pad=-100)}
    return EncodedRows.of(columns, [Example({"input_ids": ids, "labels": labels}) for ids, labels in rows])


def model(arch: str = "llama", **settings: Any) -> PreTrainedModel:
    """A model of a few thousand parameters, always with the same weights."""
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    if arch != "gpt2":
        sizes |= {"intermediate_size": 32, "num_key_value_heads": 1}
    config = AutoConfig.for_model(arch, **{**sizes, "tie_word_embeddings": True, "pad_token_id": None, **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return AutoModelForCausalLM.from_config(config).eval()  # as the stages get theirs


def trainer(
    directory: Path,
    *,
    start: PreTrainedModel | None = None,
    objective: Objective | None = None,
    packer: Packer | None = None,
    validation: HeldOut | None = None,
    **config: Any,
) -> Trainer:
    """A trainer of 8 blocks a step in float32, logging every step."""
    defaults = {"context_length": CONTEXT, "batch_tokens": 8 * CONTEXT, "precision": "float32", "log_every": 1}
    schedule = {"type": "cosine", "warmup_steps": 4}
    settings = TrainingConfig.model_validate({**defaults, "schedule": schedule, "optimizer": {"lr": 1e-2}, **config})
    built = start or model()
    vocabulary = Vocabulary(built.config.vocab_size, bos=BOS, eos=EOS, ids={"<bos>": BOS, "<eos>": EOS})
    feed = Feed(Order(packer or stream()), validation, block_tokens=settings.context_length)
    job = Job(Models(built), objective or CausalLM(), vocabulary, feed, settings.batch_blocks)
    return Trainer(job, settings, directory, Console(quiet=True))


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl without what the clock says."""
    return [{name: value for name, value in row.items() if name not in TIMINGS} for row in rows]


def byte_tokenizer(*, template: str | None = CHAT_TEMPLATE, trim_offsets: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer of the 256 bytes and the special tokens, so that ids are known without training one."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    backend.add_special_tokens(["<|bos|>", "<|eos|>", "<|pad|>", "<|im_start|>", "<|im_end|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|bos|>", eos_token="<|eos|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = template
    return tokenizer


@contextmanager
def one_thread() -> Iterator[None]:
    """For models this small more threads only wait for each other, for seconds where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def runs(mask: np.ndarray) -> list[slice]:
    """The stretches of a mask that are true."""
    borders = np.flatnonzero(np.diff([0, *mask.astype(int), 0]))
    return [slice(start, stop) for start, stop in list(pairwise(borders))[::2]]
