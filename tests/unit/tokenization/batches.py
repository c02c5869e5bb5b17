"""Texts as the encoders get them."""

from __future__ import annotations

import pyarrow as pa

from llmkit.tokenization.batch import COLUMNS, Batch


def batch_of(texts: list[str]) -> Batch:
    """Return a batch of documents without names."""
    nameless = dict.fromkeys(COLUMNS, [""] * len(texts))
    return Batch.of(pa.table({**nameless, "text": pa.array(texts, pa.string())}))
