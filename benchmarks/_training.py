"""One contender of pretrain.py, in a process of its own: it sets up, then runs a few steps each time it is told to.

python _training.py WHO JSON, where JSON has the fields of `Setting`. Lines on stdout: {"ready": seconds, "first": ...}
after the first steps, then for each line on stdin {"seconds": ..., "peak_mb": ..., "learning_s": ...}.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

BEGAN = time.perf_counter()


@dataclass(frozen=True)
class Setting:
    """What all contenders of a case train.

    Attributes:
        hidden: Hidden size of the Llama; 64 per head, 8/3 of it in the feed-forward layers.
        layers: Layers.
        vocab: Rows of the tied embedding.
        context: Tokens per block.
        blocks: Blocks per step, in one micro-batch.
        steps: Steps per turn.
        document_tokens: Mean length of the documents that llmkit packs in the case `packed`.
    """

    hidden: int
    layers: int
    vocab: int
    context: int
    blocks: int
    steps: int
    document_tokens: int = 600


class Turns:
    """Lets other contenders run between the turns of this one."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.done = 0
        self.start = BEGAN
        self.learning_s = 0.0

    def step(self) -> bool:
        """Note that a step was done; after the last of a turn say what it took and wait. True when all is over."""
        self.done += 1
        if self.done % self.setting.steps:
            return False
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = time.perf_counter() - self.start
        print(json.dumps({"seconds": seconds, "peak_mb": peak, "learning_s": self.learning_s}), flush=True)
        line = sys.stdin.readline()
        self.start, self.learning_s = time.perf_counter(), 0.0
        return not line.strip()

    def learning(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, with its time counted as learning: what is left is the loop's own."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.learning_s += time.perf_counter() - start

        return timed


class Documents:
    """Random tokens in documents, as `StreamPacker` reads them."""

    def __init__(self, setting: Setting, lengths: np.ndarray) -> None:
        self.offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # Zipf-like, as words are: the rows of the embedding that a batch touches matter for speed.
        ranks = np.random.default_rng(0).zipf(1.2, int(self.offsets[-1])) - 1
        self.ids = (ranks % setting.vocab).astype(np.uint16)

    def gather(self, positions: np.ndarray) -> np.ndarray:
        """Return the ids at positions."""
        return self.ids[positions].astype(np.int64)


def build(setting: Setting) -> Any:
    """Return the model, the same for all."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=setting.vocab,
        hidden_size=setting.hidden,
        intermediate_size=-(-setting.hidden * 8 // 3 // 64) * 64,
        num_hidden_layers=setting.layers,
        num_attention_heads=setting.hidden // 64,
        num_key_value_heads=setting.hidden // 64,
        max_position_embeddings=setting.context,
        tie_word_embeddings=True,
        pad_token_id=None,
    )
    return AutoModelForCausalLM.from_config(config)


def blocks(setting: Setting) -> Iterator[np.ndarray]:
    """Yield the batches of the peers, `[blocks, context]` int64: no document borders, so nothing to keep apart."""
    ids = Documents(setting, np.array([64 * setting.blocks * setting.context])).ids.astype(np.int64)
    batches = ids.reshape(64, setting.blocks, setting.context)
    while True:
        yield from batches


def llmkit(setting: Setting, *, compiled: bool, packed: bool) -> None:
    """The loop of llmkit, whole: data, logging, schedule."""
    from llmkit.core.console import Console
    from llmkit.data.feeds import Feed
    from llmkit.data.order import Order
    from llmkit.data.packing import StreamPacker
    from llmkit.modeling.companions import Models
    from llmkit.modeling.vocabulary import Vocabulary
    from llmkit.objectives.documents.causal_lm import CausalLM
    from llmkit.training import loop, watch
    from llmkit.training.config import TrainingConfig
    from llmkit.training.job import Job
    from llmkit.training.metrics import MetricsFile

    turns = Turns(setting)
    total = 4096 * setting.context
    mean = setting.document_tokens if packed else setting.context
    lengths = np.random.default_rng(1).geometric(1 / mean, total // mean) if packed else np.full(total // mean, mean)
    config = TrainingConfig.model_validate(
        {
            "context_length": setting.context,
            "batch_tokens": setting.blocks * setting.context,
            "micro_batch_tokens": setting.blocks * setting.context,
            "max_steps": 10**6,
            "precision": "bf16",
            "compile": compiled,
            "log_every": 1,
            "validate": {"every": 10**6},
            "checkpoint": {"every": 10**6},
        }
    )

    class Written(MetricsFile):
        def write(self, row: dict[str, Any]) -> None:
            super().write(row)
            if turns.step():
                os._exit(0)

    watch.MetricsFile = Written  # type: ignore[misc]
    order = Order(StreamPacker(Documents(setting, lengths), setting.context, seed=0))
    vocabulary = Vocabulary(setting.vocab)
    feed = Feed(order, block_tokens=setting.context)
    job = Job(Models(build(setting)), CausalLM(), vocabulary, feed, config.batch_blocks)
    job_trainer = loop.Trainer(job, config, Path(tempfile.mkdtemp()), Console(quiet=True))
    gradients, optimizer = job_trainer.gradients, job_trainer.optimizer
    gradients._backward = turns.learning(gradients._backward)  # type: ignore[method-assign]
    loop.clip_gradients = turns.learning(loop.clip_gradients)
    optimizer.step = turns.learning(optimizer.step)  # type: ignore[method-assign]
    job_trainer.train()


def trainer(setting: Setting, *, compiled: bool) -> None:
    """transformers.Trainer as people run it: bf16, fused AdamW."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    turns = Turns(setting)

    class Callback(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if turns.step():
                os._exit(0)

    class Rows(torch.utils.data.IterableDataset):
        def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
            for batch in blocks(setting):
                for row in batch:
                    yield {"input_ids": torch.from_numpy(row), "labels": torch.from_numpy(row)}

    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=setting.blocks,
        max_steps=10**6,
        bf16=True,
        use_cpu=True,
        optim="adamw_torch_fused",
        logging_steps=10,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        torch_compile=compiled,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
    )
    Trainer(model=build(setting), args=arguments, train_dataset=Rows(), callbacks=[Callback()]).train()


def raw(setting: Setting, *, compiled: bool) -> None:
    """The shortest loop there is: autocast, the model's own loss, clipping, fused AdamW."""
    import torch

    turns = Turns(setting)
    model = build(setting).train()
    forward = torch.compile(model, dynamic=False) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    for batch in blocks(setting):
        ids = torch.from_numpy(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = forward(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if turns.step():
            return


def shapes(setting: Setting) -> None:
    """The products of the model's matrices alone, forward and backward, in bf16: what nothing can be faster than."""
    import torch

    from llmkit.modeling.cost import matrix_shapes

    turns = Turns(setting)
    tokens = setting.blocks * setting.context
    found = matrix_shapes(build(setting))
    inputs = {size: torch.randn(tokens, size, dtype=torch.bfloat16) for pair in found for size in pair}
    weights = {pair: torch.randn(*pair, dtype=torch.bfloat16) for pair in found}
    while True:
        for rows, columns in found:
            weight = weights[rows, columns]
            inputs[columns] @ weight.T  # forward
            inputs[rows] @ weight  # the gradient of the input
            inputs[rows].T @ inputs[columns]  # the gradient of the weight
        if turns.step():
            return


WHO: dict[str, Callable[[Setting], None]] = {
    "llmkit": lambda setting: llmkit(setting, compiled=False, packed=False),
    "llmkit packed": lambda setting: llmkit(setting, compiled=False, packed=True),
    "llmkit compiled": lambda setting: llmkit(setting, compiled=True, packed=False),
    "Trainer": lambda setting: trainer(setting, compiled=False),
    "Trainer compiled": lambda setting: trainer(setting, compiled=True),
    "raw loop": lambda setting: raw(setting, compiled=False),
    "raw loop compiled": lambda setting: raw(setting, compiled=True),
    "matrices alone": shapes,
}


def command(who: str, setting: Setting) -> list[str]:
    """Return the command that runs a contender."""
    return [sys.executable, __file__, who, json.dumps(asdict(setting))]


if __name__ == "__main__":
    WHO[sys.argv[1]](Setting(**json.loads(sys.argv[2])))
