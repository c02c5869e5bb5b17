"""The contenders of benchmarks/tokenizing.py: each does its work once and notes the seconds in `OUT/seconds.json`.

python benchmarks/_tokenizing.py CONTENDER OUT CORPUS TOKENIZER [TOKENS]
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

FRACTIONS = {"validation_fraction": 0.02, "test_fraction": 0.02}
WORKERS = 2
BLOCKS = (512, 4096, 131_072)
PAGE = 4096


def make_corpus(directory: Path, texts: Iterable[str]) -> int:
    """Write a corpus artifact; return the bytes of its text. A finished one is reused."""
    import pyarrow.parquet as pq

    from llmkit.core.console import Console
    from llmkit.core.context import Context
    from llmkit.data.sources.files import Files
    from llmkit.stages.clean import STAGE, Config

    if not (directory / "llmkit.json").exists():
        raw = directory.with_suffix(".jsonl")
        raw.parent.mkdir(parents=True, exist_ok=True)
        with raw.open("w") as file:
            file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
        STAGE.run(Config(inputs=[Files(path=str(raw))], steps=[]), Context(directory, Console(quiet=True)))
        raw.unlink()
    files = sorted(directory.glob("data-*.parquet"))
    return sum(len(text.as_py().encode()) for f in files for text in pq.read_table(f, columns=["text"])["text"])


def make_tokenizer(directory: Path, corpus: Path, vocab_size: int) -> None:
    """Train the tokenizer that all contenders encode with."""
    if directory.exists():
        return
    from llmkit.core.console import Console
    from llmkit.tokenization.texts import training_texts
    from llmkit.tokenization.trainers.bpe import Bpe

    texts = partial(training_texts, [corpus], **FRACTIONS)
    Bpe(vocab_size=vocab_size).make(texts, Console(quiet=True)).save_pretrained(directory)


def llmkit(out: Path, corpus: Path, tokenizer: Path, encoder: str = "auto") -> float:
    """The whole stage: check, read, split, encode, find sentences, count, write, report."""
    from llmkit.core.console import Console
    from llmkit.core.context import Context
    from llmkit.data.sources.files import Files
    from llmkit.modeling.tokenizer import load_tokenizer
    from llmkit.stages.tokenize import STAGE, Config
    from llmkit.tokenization.trainers.existing import Existing

    load_tokenizer(tokenizer)  # imports transformers, which is no part of what is compared
    config = Config(
        inputs=[Files(path=str(corpus))], tokenizer=Existing(path=str(tokenizer)), workers=WORKERS, encoder=encoder
    )
    start = perf_counter()
    STAGE.run(config, Context(out / "tokens", Console(quiet=True)))
    return perf_counter() - start


def datasets_map(out: Path, corpus: Path, tokenizer: Path) -> float:
    """`datasets.map` with two processes over the same Parquet files, and `save_to_disk`."""
    import datasets

    from llmkit.modeling.tokenizer import load_tokenizer

    os.environ["HF_HUB_OFFLINE"] = "1"
    loaded = load_tokenizer(tokenizer)

    def encode(batch: dict[str, Any]) -> dict[str, Any]:
        return {"input_ids": loaded(batch["text"], add_special_tokens=False, split_special_tokens=True)["input_ids"]}

    start = perf_counter()
    files = [str(path) for path in sorted(corpus.glob("data-*.parquet"))]
    rows = datasets.load_dataset("parquet", data_files=files, cache_dir=str(out / "cache"))["train"]
    rows.map(encode, batched=True, num_proc=WORKERS, remove_columns=["text", "meta"]).save_to_disk(str(out / "saved"))
    return perf_counter() - start


def bare(out: Path, corpus: Path, tokenizer: Path) -> float:
    """Gigatoken and nothing else: two processes, each reads half of the row groups, encodes, and writes an Arrow file.

    No splits, no sentence starts, no counts, no check, no report; ids as llmkit writes them.
    """
    start = perf_counter()
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(_bare_part, [(out, corpus, tokenizer, part) for part in range(WORKERS)], chunksize=1)
    return perf_counter() - start


def _bare_part(job: tuple[Path, Path, Path, int]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from gigatoken.gigatoken_rs import load_hf_json

    out, corpus, tokenizer, part = job
    backend = load_hf_json((tokenizer / "tokenizer.json").read_text())
    schema = pa.schema([("id", pa.string()), ("input_ids", pa.list_(pa.uint16()))])
    files = [pq.ParquetFile(path) for path in sorted(corpus.glob("data-*.parquet"))]
    groups = [(file, group) for file in files for group in range(file.num_row_groups)]
    with pa.ipc.new_stream(str(out / f"{part}.arrow"), schema) as stream:
        for file, group in groups[len(groups) * part // WORKERS : len(groups) * (part + 1) // WORKERS]:
            table = file.read_row_group(group, columns=["id", "text"], use_threads=False)
            ids = [backend.encode(text) for text in table["text"].cast(pa.binary()).to_pylist()]
            ends = np.cumsum([0, *map(len, ids)], dtype=np.int32)
            values = np.concatenate(ids).astype(np.uint16)
            lists = pa.ListArray.from_arrays(pa.array(ends), pa.array(values))
            stream.write_batch(pa.record_batch([table["id"].combine_chunks(), lists], schema=schema))


def bare_in_memory(out: Path, corpus: Path, tokenizer: Path) -> float:  # noqa: ARG001 - writes nothing
    """Only the calls that encode, of the documents in memory, in one process: what no program around them can reach."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from gigatoken.gigatoken_rs import load_hf_json

    tables = [pq.read_table(path, columns=["text"]) for path in sorted(corpus.glob("data-*.parquet"))]
    texts = pa.concat_tables(tables)["text"].cast(pa.binary()).to_pylist()
    backend = load_hf_json((tokenizer / "tokenizer.json").read_text())
    start = perf_counter()
    for text in texts:
        backend.encode(text)
    return perf_counter() - start


def same_ids(saved: Path, bare: Path) -> int:
    """Return how many documents have other ids in a token artifact than in the files of `bare`, or are in one only."""
    import pyarrow as pa

    def digests(files: Iterable[Path]) -> dict[str, bytes]:
        found = {}
        for batch in (batch for path in files for batch in pa.ipc.open_stream(path)):
            ids, lists = batch["id"].to_pylist(), batch["input_ids"]
            values, ends = lists.values.to_numpy(), lists.offsets.to_numpy()
            for name, begin, end in zip(ids, ends, ends[1:], strict=False):
                found[name] = hashlib.blake2b(values[begin:end].tobytes(), digest_size=8).digest()
        return found

    ours, theirs = digests(saved.glob("*/data-*.arrow")), digests(bare.glob("*.arrow"))
    return len(dict(ours.items() ^ theirs.items()))


def llmkit_train(out: Path, corpus: Path, tokenizer: Path) -> float:
    """Train on the train split, from Parquet, as the stage does."""
    import tokenizers  # noqa: F401 - its import is no part of what is compared
    import transformers  # noqa: F401

    from llmkit.core.console import Console
    from llmkit.tokenization.texts import training_texts
    from llmkit.tokenization.trainers.bpe import Bpe

    texts = partial(training_texts, [corpus], **FRACTIONS)
    start = perf_counter()
    Bpe(vocab_size=_vocab_size(tokenizer)).make(texts, Console(quiet=True)).save_pretrained(out)
    return perf_counter() - start


def tokenizers_train(out: Path, corpus: Path, tokenizer: Path) -> float:
    """Train on the same texts with `tokenizers`, from a list in memory."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from llmkit.tokenization.texts import training_texts

    texts = [row.text for row in training_texts([corpus], **FRACTIONS)]
    start = perf_counter()
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=_vocab_size(tokenizer),
        min_frequency=1,
        special_tokens=["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    made.save(str(out / "tokenizer.json"))
    return perf_counter() - start


def _vocab_size(tokenizer: Path) -> int:
    content = json.loads((tokenizer / "tokenizer.json").read_text())
    return len(content["model"]["vocab"])


def read(out: Path, corpus: Path, tokenizer: Path, tokens: Path) -> float:  # noqa: ARG001 - only the tokens
    """Take random blocks of the largest shard: as views, and with every id looked at."""
    from llmkit.data.token_reader import TokenSplit

    start = perf_counter()
    shard = max(TokenSplit(tokens, "train").shards, key=len)
    rows = []
    for length in BLOCKS:
        places = np.random.default_rng(0).integers(0, shard.size - length, 20_000).tolist()
        begin = perf_counter()
        for place in places:
            block = shard[place : place + length]
        views = len(places) / (perf_counter() - begin)
        some = places[: max(200, 20_000 * 512 // length)]
        begin = perf_counter()
        for place in some:
            shard[place : place + length].max()
        reads = len(some) / (perf_counter() - begin)
        copied = 0 if np.shares_memory(block, shard) and block.base is not None else block.nbytes
        pages = (block.ctypes.data % PAGE + block.nbytes + PAGE - 1) // PAGE
        rows.append(
            {
                "tokens": length,
                "views_per_s": views,
                "reads_per_s": reads,
                "bytes_copied": copied,
                "bytes_touched": int(pages) * PAGE,
            }
        )
    (out / "blocks.json").write_text(json.dumps(rows))
    return perf_counter() - start


CONTENDERS = {
    "llmkit": llmkit,
    "llmkit-tokenizers": partial(llmkit, encoder="tokenizers"),
    "datasets-map": datasets_map,
    "bare": bare,
    "bare-in-memory": bare_in_memory,
    "llmkit-train": llmkit_train,
    "tokenizers-train": tokenizers_train,
    "read": read,
}

if __name__ == "__main__":
    name, place, *inputs = sys.argv[1:]
    seconds = CONTENDERS[name](Path(place), *map(Path, inputs))
    (Path(place) / "seconds.json").write_text(json.dumps(seconds))
