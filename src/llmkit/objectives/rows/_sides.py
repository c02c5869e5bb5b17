"""The sides of a row of texts: a query, what belongs to it, and what does not; from texts to a step's tensors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.objectives.rows._stacks import stacked

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

    from llmkit.data.packing import Batch

QUERY, POSITIVE, NEGATIVE, SCORE = "query", "positive", "negative", "score"
SIZES = f"{NEGATIVE}_sizes"


def encode_sides(
    rows: Sequence[Sequence[str]], tokenizer: PreTrainedTokenizerFast, limit: int, most: int
) -> list[tuple[dict[str, Any] | None, bool]]:
    """Return the columns of rows of texts, and whether any text was cut; None where one has no token.

    Args:
        rows: Each a query, what belongs to it, and at most `most` texts that do not.
        tokenizer: The tokenizer.
        limit: Most tokens of a text.
        most: How many texts that do not belong a row has place for.
    """
    from llmkit.modeling.served import encode_texts

    encoded = iter(encode_texts(tokenizer, [text for row in rows for text in row], limit, offsets=False))
    found: list[tuple[dict[str, Any] | None, bool]] = []
    for row in rows:
        own = [next(encoded) for _ in row]
        ids, cut = [encoding.ids for encoding in own], any(encoding.overflowing for encoding in own)
        if not all(ids):
            found.append((None, cut))
            continue
        keys = [_key(one) for one in ids]
        columns: dict[str, Any] = {}
        for side, one, key in zip((QUERY, POSITIVE), ids, keys, strict=False):
            columns |= {f"{side}_input_ids": one, f"{side}_key": key}
        if most:
            columns[f"{NEGATIVE}_input_ids"] = [i for one in ids[2:] for i in one]
            columns[SIZES] = _filled([len(one) for one in ids[2:]], most)
            columns[f"{NEGATIVE}_key"] = _filled(keys[2:], most)
        found.append((columns, cut))
    return found


def tensors_of(batch: Batch, pad: int) -> dict[str, torch.Tensor]:
    """Return the texts of all sides in stacks, the queries first, and the other columns of the rows."""
    import torch

    flat, lengths = [], []
    for side in [QUERY, POSITIVE, *([NEGATIVE] if SIZES in batch.columns else [])]:
        ids, sizes = batch.columns[f"{side}_input_ids"], batch.columns[f"{side}_input_ids_length"]
        flat.append(ids[np.arange(ids.shape[1]) < sizes[:, None]])
        own = sizes if side != NEGATIVE else batch.columns[SIZES]
        lengths.append(own[own > 0])
    beside = [name for name in batch.columns if name.endswith("_key") or name in (SIZES, SCORE)]
    return {
        **stacked(np.concatenate(flat), np.concatenate(lengths), pad),
        **{name: torch.from_numpy(batch.columns[name]) for name in beside},
    }


def _key(ids: Sequence[int]) -> int:
    """Return a number that equal texts share, and others do not."""
    digest = hashlib.blake2b(np.asarray(ids, np.int64).tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _filled(values: Sequence[int], size: int) -> list[int]:
    return [*values, *[0] * (size - len(values))]


def number_of(label: Any) -> float | None:
    """Return the finite number that a label is; None where it is none."""
    try:
        number = float(label)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
