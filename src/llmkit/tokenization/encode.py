"""Encode corpora into the token artifact: one row per document, split by a hash of its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.data.corpus import read_corpus
from llmkit.data.sentences import sentence_starts
from llmkit.data.split import SPLITS, Split, split_of
from llmkit.data.tokens import SplitCounts, TokenShardWriter
from llmkit.modeling.tokenizer import encode_with_ends, vocabulary_size

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.progress import Progress

BATCH_CHARS = 4_000_000
"""Characters encoded at a time: enough to keep every core busy, little enough to bound memory."""


def documents(corpora: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield the rows of several corpora, one corpus after another."""
    for corpus in corpora:
        yield from read_corpus(corpus, columns=["id", "text", "source", "language"])


def training_texts(corpora: Sequence[Path], *, validation_fraction: float, test_fraction: float) -> Iterator[str]:
    """Yield the texts of the train split: a tokenizer trained on held-out text would know it already."""
    fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    for row in documents(corpora):
        if split_of(row["text"], **fractions) == "train":
            yield row["text"]


def encode_corpora(
    corpora: Sequence[Path],
    tokenizer: PreTrainedTokenizerFast,
    directory: Path,
    progress: Progress,
    *,
    validation_fraction: float,
    test_fraction: float,
) -> dict[Split, SplitCounts]:
    """Encode every document and write the splits; return their counts."""
    writer = TokenShardWriter(directory, vocab_size=vocabulary_size(tokenizer))
    fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    for rows in _batches(documents(corpora)):
        texts = [row["text"] for row in rows]
        for row, (ids, ends) in zip(rows, encode_with_ends(tokenizer, texts), strict=True):
            num_bytes = len(row["text"].encode("utf-8"))
            writer.append(
                split_of(row["text"], **fractions),
                id=row["id"],
                source=row["source"],
                language=row["language"],
                num_bytes=num_bytes,
                input_ids=ids,
                segments=_segments(row["text"], ends),
            )
            progress.advance(num_bytes / 1e6)
    counts = writer.finish()
    return {split: counts[split] for split in SPLITS if split in counts}


def _segments(text: str, ends: np.ndarray) -> np.ndarray:
    """Return the token index at which each sentence starts: the first token that ends behind its first character."""
    found = np.unique(np.searchsorted(ends, np.array(sentence_starts(text), dtype=np.int64), side="right"))
    return found[found < ends.size]


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row["text"])
        if size >= BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
