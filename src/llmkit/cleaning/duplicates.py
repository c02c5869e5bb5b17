"""Find equal keys among all documents, bucket by bucket: what exact deduplication of texts and of lines share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmkit.cleaning.survey import VERDICT, Survey

KEYED = np.dtype(
    [
        ("key", "u8"),
        ("key2", "u8"),
        ("rank", "u8"),
        ("task", "u4"),
        ("row", "u4"),
        ("position", "u4"),
        ("label", "u4"),
    ]
)
"""A key of 128 bits, the rank that decides who stays (the first 64 bits of the id), and where the document stands.

`label` is a hash of what copies should agree on; equal keys with different labels are a conflict.
"""


def rank_of(identifier: str) -> int:
    """Return the rank of a document: the first 64 bits of its id. The smallest stays, whatever the order of inputs."""
    return int(identifier[:16], 16)


def group_equal(records: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sort records by key, then by rank and place, and return them with the position of each one's group leader."""
    order = np.lexsort(
        (records["position"], records["row"], records["task"], records["rank"], records["key2"], records["key"])
    )
    records = records[order]
    if not len(records):
        return records, np.empty(0, np.int64)
    first = np.ones(len(records), bool)
    first[1:] = (records["key"][1:] != records["key"][:-1]) | (records["key2"][1:] != records["key2"][:-1])
    leaders = np.maximum.accumulate(np.where(first, np.arange(len(records)), 0))
    return records, leaders


def judge_equal(job: tuple[Any, Survey, int]) -> tuple[int, int]:
    """Leave a verdict on every record of a bucket but the first of each key.

    Args:
        job: `(drop_conflicts, survey, bucket)`; the survey's table is `keys`. With `drop_conflicts` no copy of a text
            with different labels stays.

    Returns:
        Keys that occur more than once, and those among them whose labels differ.
    """
    drop_conflicts, survey, bucket = job
    records, leaders = group_equal(survey.bucket("keys", bucket, KEYED))
    differs = records["label"] != records["label"][leaders]
    conflicting = np.unique(leaders[differs])
    copies = leaders != np.arange(len(records))
    falls = copies | np.isin(leaders, conflicting) if drop_conflicts else copies
    verdicts = np.zeros(int(falls.sum()), VERDICT)
    for name in ("task", "row", "position"):
        verdicts[name] = records[name][falls]
    verdicts["keeper_task"] = records["task"][leaders[falls]]
    verdicts["keeper_row"] = records["row"][leaders[falls]]
    verdicts["value"] = differs[falls] | (np.isin(leaders, conflicting)[falls] & bool(drop_conflicts))
    survey.leave(bucket, verdicts)
    return len(np.unique(leaders[copies])), len(conflicting)


class KeyRecorder:
    """Collect `KEYED` records of one task."""

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._places: list[tuple[int, int, int, int]] = []

    def add_key(self, key: bytes, rank: int, row: int, position: int = 0, label: int = 0) -> None:
        """Add one key of 16 bytes."""
        self._keys.append(key)
        self._places.append((rank, row, position, label))

    def tables(self) -> dict[str, NDArray[Any]]:
        """Return the table `keys`."""
        table = np.zeros(len(self._keys), KEYED)
        halves = np.frombuffer(b"".join(self._keys), ">u8").reshape(-1, 2)
        table["key"], table["key2"] = halves[:, 0], halves[:, 1]
        if self._places:
            for name, column in zip(("rank", "row", "position", "label"), zip(*self._places, strict=True), strict=True):
                table[name] = np.array(column, table.dtype[name])
        return {"keys": table}
