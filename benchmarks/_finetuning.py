"""The contenders of benchmarks/finetune.py: each does its work once and notes what it took in `OUT/found.json`.

python benchmarks/_finetuning.py CONTENDER OUT DATA
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

WORKERS = 2
CONTEXT = 4096
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML, with the marks from which transformers finds what the assistant says; llmkit does without them."""
CLASSES, VOCABULARY, LONGEST, BATCH_ROWS = 4, 8192, 256, 32
WARM_STEPS, STEPS, EVERY = 10, 70, 5


def chats(texts: Iterable[str], seed: int = 0) -> Iterator[list[dict[str, str]]]:
    """Yield conversations of 1 to 3 questions of 5 to 60 words and answers of 20 to 150."""
    rng = random.Random(seed)
    words = (word for text in texts for word in re.findall(r"\S+\s*", text))

    def said(least: int, most: int) -> str:
        return "".join(word for word, _ in zip(words, range(rng.randint(least, most)), strict=False)).strip()

    while True:
        turns = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            turns.append({"role": "user", "content": said(5, 60)})
            turns.append({"role": "assistant", "content": said(20, 150)})
        if not turns[-1]["content"]:
            return
        yield turns


def write_chats(data: Path, texts: list[str], num_rows: int, make: Any, vocab_size: int) -> int:
    """Write `num_rows` conversations as an examples artifact, and a tokenizer; return their tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from llmkit.data.chat import CONVERSATION
    from llmkit.data.corpus import CorpusWriter, Document

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(data / "tokenizer")
    (data / "rows").mkdir()
    writer, sizes = CorpusWriter(data / "rows", CONVERSATION), []
    for number, turns in enumerate(chats(make())):
        if number == num_rows:
            break
        row = {"messages": turns}
        text = CONVERSATION.key_text(row)
        sizes.append(text)
        if len(sizes) > 1000:
            sizes.pop(random.Random(number).randrange(1000))
        writer.write(Document(f"{number:032x}", text, "docs", "en", row, CONVERSATION, {}))
    writer.close()
    sample = tokenizer(sizes, add_special_tokens=False)["input_ids"]
    return round(sum(map(len, sample)) / len(sizes))


def llmkit(out: Path, data: Path) -> dict[str, Any]:
    """The rows of the artifact to memory-mapped columns, as `llmkit finetune` does it."""
    from llmkit.core.console import Console
    from llmkit.data.chat import CONVERSATION
    from llmkit.modeling.tokenizer import load_tokenizer
    from llmkit.objectives.rows.sft import SFT
    from llmkit.training.rows import Column, Encoder, encode
    from llmkit.work.engine import Engine

    tokenizer = load_tokenizer(data / "tokenizer")  # imports transformers, which is no part of what is compared
    columns = {"input_ids": Column(), "labels": Column(pad=-100)}
    start = time.perf_counter()
    encoder = Encoder(SFT(), CONVERSATION, columns, CONTEXT, data / "tokenizer", tokenizer)
    with Engine(workers=WORKERS) as engine:
        encode([data / "rows"], encoder, out / "encoded", engine, Console(quiet=True), 0.0)
    return {"seconds": time.perf_counter() - start}


def datasets_map(out: Path, data: Path, *, mask: bool, batched: bool) -> dict[str, Any]:
    """`datasets.map` with two processes over the same Parquet files, `apply_chat_template` inside."""
    import datasets

    from llmkit.modeling.tokenizer import load_tokenizer

    os.environ["HF_HUB_OFFLINE"] = "1"
    tokenizer = load_tokenizer(data / "tokenizer")

    def encode(batch: dict[str, Any]) -> dict[str, Any]:
        found = tokenizer.apply_chat_template(
            batch["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=mask
        )
        return {name: found[name] for name in ("input_ids", *(["assistant_masks"] if mask else []))}

    start = time.perf_counter()
    files = [str(path) for path in sorted((data / "rows").glob("data-*.parquet"))]
    rows = datasets.load_dataset("parquet", data_files=files, cache_dir=str(out / "cache"))["train"]
    mapped = rows.map(encode, batched=batched, num_proc=WORKERS, remove_columns=rows.column_names)
    seconds = time.perf_counter() - start
    if mask:
        mapped.save_to_disk(str(out / "saved"))
    return {"seconds": seconds}


def differing(ours: Path, theirs: Path) -> int:
    """Return how many rows have other ids, or another mask, in llmkit's columns than in the dataset of a peer."""
    import datasets

    from llmkit.data.packing import EncodedRows

    found, expected = EncodedRows.open(ours), datasets.load_from_disk(str(theirs)).with_format("numpy")
    ends = np.cumsum(found.lengths("input_ids"))
    ids, labels = (np.split(found.values[name], ends[:-1]) for name in ("input_ids", "labels"))
    wrong = abs(len(found) - len(expected))
    for batch, start in ((expected[i : i + 1000], i) for i in range(0, len(found), 1000)):
        for i, (right, mask) in enumerate(zip(batch["input_ids"], batch["assistant_masks"], strict=True), start):
            learned = np.append(np.where(mask[1:], right[1:], -100), -100)
            wrong += not (np.array_equal(ids[i], right) and np.array_equal(labels[i], learned))
    return int(wrong)


def labelled(num_rows: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return ids of rows whose lengths are as uneven as those of real texts, median 48, and labels."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.exp(rng.normal(np.log(48), 0.8, num_rows)).astype(int), 4, LONGEST)
    return [rng.integers(5, VOCABULARY, length) for length in lengths], rng.integers(0, CLASSES, num_rows)


def model() -> Any:
    """Return the BERT that all train: the sizes of BERT-mini (Turc et al. 2019)."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=VOCABULARY, hidden_size=256, num_hidden_layers=4, num_attention_heads=4,
            intermediate_size=1024, max_position_embeddings=LONGEST, num_labels=CLASSES, pad_token_id=0,
        )
    )  # fmt: skip


class Clock:
    """Notes when steps were done; the first are not counted."""

    def __init__(self) -> None:
        self.times: dict[int, tuple[float, float]] = {}

    def __call__(self, step: int) -> None:
        """Note a step."""
        if step >= WARM_STEPS and step % EVERY == 0:
            self.times[step] = time.perf_counter(), time.process_time()

    def rates(self) -> dict[str, float]:
        """Return rows per second, and per second of the processor, which others on the machine disturb less."""
        first, last = min(self.times), max(self.times)
        rows = (last - first) * BATCH_ROWS
        wall, cpu = (b - a for a, b in zip(self.times[first], self.times[last], strict=True))
        return {"rows_per_s": rows / wall, "rows_per_cpu_s": rows / cpu}


def llmkit_train(out: Path, data: Path, precision: str) -> dict[str, Any]:
    """The loop of llmkit, whole."""
    from llmkit.core.console import Console
    from llmkit.modeling.companions import have_companions
    from llmkit.modeling.vocabulary import Vocabulary
    from llmkit.objectives.rows.classification import Classification
    from llmkit.training import loop, watch
    from llmkit.training.config import RowTrainingConfig
    from llmkit.training.job import Job
    from llmkit.training.metrics import MetricsFile
    from llmkit.training.rows import Column, EncodedRows, Example, make_feed

    clock, (ids, labels) = Clock(), labelled(int(data.name))
    columns = {"input_ids": Column(), "labels": Column("int32", None)}
    rows = EncodedRows.of(columns, [Example({"input_ids": i, "labels": k}) for i, k in zip(ids, labels, strict=True)])
    held = EncodedRows.of(columns, [])
    objective = Classification(problem="single_label", labels=[str(i) for i in range(CLASSES)])
    feed = make_feed(objective, rows, held, context_length=LONGEST, batch_rows=BATCH_ROWS, seed=0, pad_id=0)
    config = RowTrainingConfig.model_validate(
        {"context_length": LONGEST, "batch_tokens": BATCH_ROWS * LONGEST, "batch_rows": BATCH_ROWS, "max_steps": STEPS,
         "precision": precision, "compile": False, "log_every": EVERY, "objective": {"type": "classification"}}
    )  # fmt: skip

    class Written(MetricsFile):
        def write(self, row: dict[str, Any]) -> None:
            super().write(row)
            clock(row["step"])

    watch.MetricsFile = Written  # type: ignore[misc]
    job = Job(have_companions(model(), {}), objective, Vocabulary(VOCABULARY, pad=0), feed, BATCH_ROWS)
    loop.Trainer(job, config, out, Console(quiet=True)).train()
    return {**clock.rates(), "padding": feed.stream.packer.padding_share(0, BATCH_ROWS)}


def trainer_train(out: Path, data: Path, strategy: str, *, bf16: bool = False) -> dict[str, Any]:
    """transformers.Trainer over a dataset of ids, as its guides have it, rows of like length together."""
    import datasets
    from tokenizers import Tokenizer, models
    from transformers import (
        DataCollatorWithPadding,
        PreTrainedTokenizerFast,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    clock, (ids, labels) = Clock(), labelled(int(data.name))
    tokens, positions = [], []

    class Callback(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - the interface
            clock(state.global_step)

    class Counted(DataCollatorWithPadding):
        def __call__(self, features: Any) -> Any:
            batch = super().__call__(features)
            tokens.append(sum(len(row["input_ids"]) for row in features))
            positions.append(batch["input_ids"].numel())
            return batch

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"[PAD]": 0}, "[PAD]")))
    tokenizer.pad_token = "[PAD]"
    rows = datasets.Dataset.from_dict(
        {"input_ids": ids, "attention_mask": [np.ones_like(row) for row in ids], "labels": labels}
    )
    arguments = TrainingArguments(
        output_dir=str(out), per_device_train_batch_size=BATCH_ROWS, max_steps=STEPS, use_cpu=True, seed=0,
        train_sampling_strategy=strategy, optim="adamw_torch_fused", logging_steps=EVERY, save_strategy="no",
        report_to=[], disable_tqdm=True, learning_rate=5e-5, bf16=bf16,
    )  # fmt: skip
    Trainer(
        model=model(), args=arguments, train_dataset=rows, data_collator=Counted(tokenizer), callbacks=[Callback()]
    ).train()
    return {**clock.rates(), "padding": 1 - sum(tokens) / sum(positions)}


CONTENDERS = {
    "llmkit": llmkit,
    "datasets-map": lambda out, data: datasets_map(out, data, mask=True, batched=True),
    "datasets-map-rows": lambda out, data: datasets_map(out, data, mask=True, batched=False),
    "datasets-map-no-mask": lambda out, data: datasets_map(out, data, mask=False, batched=True),
    "llmkit-train": lambda out, data: llmkit_train(out, data, "auto"),
    "llmkit-float32": lambda out, data: llmkit_train(out, data, "float32"),
    "Trainer": lambda out, data: trainer_train(out, data, "group_by_length"),
    "Trainer-bf16": lambda out, data: trainer_train(out, data, "group_by_length", bf16=True),
    "Trainer-random": lambda out, data: trainer_train(out, data, "random"),
}

if __name__ == "__main__":
    name, place, source = sys.argv[1:]
    Path(place, "found.json").write_text(json.dumps(CONTENDERS[name](Path(place), Path(source))))
