"""Decide whether a document belongs to train, validation or test, from its content alone."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def split_of(text: str, *, validation_fraction: float, test_fraction: float) -> Split:
    """Return the split of a document.

    The hash of the normalized text (NFKC, case folded, runs of whitespace as one space) is a number u in [0, 1):
    u < test_fraction is test, the next validation_fraction is validation, the rest train. Copies of a text therefore
    share a side, whatever file or run they come from, and changing validation_fraction never moves a test document.

    Args:
        text: The document.
        validation_fraction: Expected share of distinct documents in validation, 0 to 1.
        test_fraction: Expected share of distinct documents in test, 0 to 1; the sum of both is at most 1.
    """
    return split_of_key(key_of(text), validation_fraction=validation_fraction, test_fraction=test_fraction)


def split_of_key(key: int, *, validation_fraction: float, test_fraction: float) -> Split:
    """Return the split of a document whose key is known; see `split_of`."""
    # 53 bits are what a float holds exactly: dividing all 64 would round the largest hashes up to 1.0.
    u = (key >> 11) / 2**53
    if u < test_fraction:
        return "test"
    if u < test_fraction + validation_fraction:
        return "validation"
    return "train"


def key_of(text: str) -> int:
    """Return 64 bits that stand for a text, normalized as above: copies of a text share them."""
    normalized = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    # JSON input may hold lone surrogates; they must not stop a run here.
    digest = hashlib.blake2b(normalized.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
