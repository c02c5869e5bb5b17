"""Keep a random part of each source, as large as its quota in bytes: what caps and mixtures share.

Every document gets a random number from its id. A source keeps the documents with the smallest numbers that fit its
quota; one that is larger than the whole quota falls first, since at the head of the order it would leave nothing. The
limit is found by histograms, so that no more than one bin of documents is ever sorted in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmkit.cleaning.survey import VERDICT, Survey
from llmkit.data.corpus import Document
from llmkit.work.engine import Engine

SHARE = np.dtype([("source", "u8"), ("number", "u8"), ("size", "u8"), ("row", "u4")])
NUM_BINS = 65_536
_BIN_SHIFT = np.uint64(48)


def source_key(name: str) -> int:
    """Return 64 bits that stand for a source's name."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class QuotaRecorder:
    """Collect source, random number and UTF-8 bytes per document of one task.

    Args:
        seed: Seed of the random numbers.
        count_documents: Quotas are in documents instead of bytes.
    """

    def __init__(self, seed: int, *, count_documents: bool = False) -> None:
        self.seed, self.count_documents = seed, count_documents
        self.rows: list[tuple[int, int, int, int]] = []
        self.keys: dict[str, int] = {}

    def add(self, row: int, document: Document) -> None:
        """Add a document."""
        key = self.keys.setdefault(document.source, source_key(document.source))
        digest = hashlib.blake2b(f"{self.seed}\0{document.id}".encode(), digest_size=8).digest()
        size = 1 if self.count_documents else len(document.text.encode("utf-8", "surrogatepass"))
        self.rows.append((key, int.from_bytes(digest, "big"), size, row))

    def tables(self) -> dict[str, NDArray[Any]]:
        """Return the table `shares`."""
        return {"shares": np.array(self.rows, SHARE)}


def available(survey: Survey) -> dict[int, int]:
    """Return what each source has, by its key."""
    total: dict[int, int] = {}
    for task in range(survey.num_tasks):
        shares = _left(survey, task)
        for source in np.unique(shares["source"]).tolist():
            total[source] = total.get(source, 0) + int(shares["size"][shares["source"] == source].sum())
    return total


def judge_quotas(survey: Survey, engine: Engine, quotas: Mapping[int, int]) -> int:
    """Leave a verdict on every document beyond its source's quota; return how many sources are cut."""
    sizes = available(survey)
    # Only sources that have too much cost a search: where each file is a source, there may be very many.
    quotas = {source: quota for source, quota in quotas.items() if sizes[source] > quota or quota == 0}
    limits = {source: _limit(survey, source, quota) for source, quota in quotas.items()}
    for task in range(survey.num_tasks):
        shares = _left(survey, task)
        falls = np.zeros(len(shares), bool)
        for source in quotas.keys() & set(np.unique(shares["source"]).tolist()):
            beyond = (shares["number"] >= np.uint64(limits[source])) | (shares["size"] > quotas[source])
            falls |= (shares["source"] == np.uint64(source)) & beyond
        verdicts = np.zeros(int(falls.sum()), VERDICT)
        verdicts["task"], verdicts["row"] = task, shares["row"][falls]
        verdicts["keeper_task"], verdicts["keeper_row"] = task, shares["row"][falls]
        survey.leave(task, verdicts)
    survey.judge(engine, survey.num_tasks)
    return len(quotas)


def _left(survey: Survey, task: int) -> NDArray[Any]:
    shares = survey.table("shares", task)
    return shares[~np.isin(shares["row"], survey.fallen(task))]


def _candidates(survey: Survey, task: int, source: int, quota: int) -> NDArray[Any]:
    shares = _left(survey, task)
    found: NDArray[Any] = shares[(shares["source"] == np.uint64(source)) & (shares["size"] <= quota)]
    return found


def _limit(survey: Survey, source: int, quota: int) -> int:
    """Return the random number from which on documents fall, so that those below it fit the quota."""
    if quota == 0:
        return 0
    sizes = np.zeros(NUM_BINS, np.int64)
    for task in range(survey.num_tasks):
        mine = _candidates(survey, task, source, quota)
        np.add.at(sizes, (mine["number"] >> _BIN_SHIFT).astype(np.int64), mine["size"].astype(np.int64))
    full = np.cumsum(sizes)
    if full[-1] <= quota:
        return 2**64 - 1
    split = int(np.searchsorted(full, quota, side="right"))
    left = quota - (int(full[split - 1]) if split else 0)
    inside = []
    for task in range(survey.num_tasks):
        mine = _candidates(survey, task, source, quota)
        inside.append(mine[mine["number"] >> _BIN_SHIFT == split])
    found = np.sort(np.concatenate(inside), order="number")
    over = np.flatnonzero(np.cumsum(found["size"].astype(np.int64)) > left)
    return int(found["number"][over[0]])
