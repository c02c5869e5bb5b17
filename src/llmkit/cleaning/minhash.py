"""Near-duplicates at any scale: MinHash signatures, bands, edges verified by signature, connected components.

Broder 1997 (MinHash), Indyk and Motwani 1998 (banding). Two documents of Jaccard similarity J share at least one of b
bands of r values with probability 1 - (1 - J^r)^b.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmkit.cleaning import kernels
from llmkit.cleaning.components import count_steps, lead_to_roots, shorten, unite
from llmkit.cleaning.exchange import load_array, save_array
from llmkit.cleaning.survey import VERDICT, Survey
from llmkit.work.engine import Engine
from llmkit.work.once import run_plan

if TYPE_CHECKING:
    from llmkit.cleaning.steps.near_duplicates import NearDuplicates

BAND = np.dtype([("key", "u8"), ("rank", "u8"), ("task", "u4"), ("row", "u4")])
EDGE = np.dtype([
    ("a_rank", "u8"), ("a_task", "u4"), ("a_row", "u4"),
    ("b_rank", "u8"), ("b_task", "u4"), ("b_row", "u4"),
    ("similarity", "f4"),
])  # fmt: skip
"""A verified pair: `a` is the one with the smaller rank."""
NAMED_STEPS = 3
"""Pairs on the way from a document that falls to the one that stays that are named; then comes the one that stays."""
_ROUNDS = 4
_PAIRS_AT_A_TIME = 65_536
_TASKS_PER_PART = 64
_ZEROS = 1 << 20


@cache
def permutations(size: int, seed: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return `[size]` odd multipliers and `[size]` offsets, the same on every machine."""
    numbers = [int(kernels.mix(np.uint64(((seed << 32) + i) & (2**64 - 1)))) for i in range(1, 2 * size + 1)]
    return np.array(numbers[:size], np.uint64) | np.uint64(1), np.array(numbers[size:], np.uint64)


def match_bands(job: tuple[NearDuplicates, Survey, int]) -> int:
    """Find and keep the verified edges among the documents of one bucket; return their number.

    A group of n documents with one band value gives at most n - 1 edges per round, all to the group's smallest rank,
    never n^2 pairs. Members that are no match of it try the smallest of the rest, a few times.
    """
    step, survey, bucket = job
    records = survey.bucket("bands", bucket, BAND)
    records = records[np.lexsort((records["row"], records["task"], records["rank"], records["key"]))]
    edges = []
    for _ in range(_ROUNDS):
        leaders = np.maximum.accumulate(
            np.where(np.r_[True, records["key"][1:] != records["key"][:-1]], np.arange(len(records)), 0)
            if len(records)
            else np.empty(0, np.int64)
        )
        followers = np.flatnonzero(leaders != np.arange(len(records)))
        if not len(followers):
            break
        a, b = records[leaders[followers]], records[followers]
        similarity = _similarities(survey, a, b)
        good = similarity >= step.similarity
        edges.append(_edges(a[good], b[good], similarity[good]))
        records = records[followers[~good]]
    found = np.concatenate(edges) if edges else np.empty(0, EDGE)
    save_array(_edge_file(survey, bucket), found)
    return len(found)


def _edges(a: NDArray[Any], b: NDArray[Any], similarity: NDArray[Any]) -> NDArray[Any]:
    edges = np.zeros(len(a), EDGE)
    for name in ("rank", "task", "row"):
        edges[f"a_{name}"], edges[f"b_{name}"] = a[name], b[name]
    edges["similarity"] = similarity
    return edges


def _similarities(survey: Survey, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
    """Return the share of equal signature values per pair, each pair compared once however many bands it shares."""
    places = [end[name].astype(np.uint64) for end in (a, b) for name in ("task", "row")]
    first, again = (places[0] << np.uint64(32)) | places[1], (places[2] << np.uint64(32)) | places[3]
    pairs = np.empty(len(a), np.dtype([("a", "u8"), ("b", "u8")]))
    pairs["a"], pairs["b"] = first, again
    unique, inverse = np.unique(pairs, return_inverse=True)
    result = np.empty(len(unique), np.float32)
    for start in range(0, len(unique), _PAIRS_AT_A_TIME):
        part = unique[start : start + _PAIRS_AT_A_TIME]
        left, right = _signatures(survey, part["a"]), _signatures(survey, part["b"])
        result[start : start + len(part)] = (left == right).mean(axis=1, dtype=np.float32)
    return result[inverse]


def _signatures(survey: Survey, places: NDArray[np.uint64]) -> NDArray[np.uint32]:
    tasks, rows = (places >> np.uint64(32)).astype(np.int64), places.astype(np.uint32)
    order = np.argsort(tasks, kind="stable")
    edges = np.flatnonzero(np.diff(tasks[order], prepend=-1, append=-1))
    result: NDArray[np.uint32] | None = None
    for start, end in pairwise(edges.tolist()):
        chosen = order[start:end]
        task = int(tasks[chosen[0]])
        table = survey.table("signatures", task)
        if result is None:
            result = np.empty((len(places), table.shape[1]), np.uint32)
        result[chosen] = table[np.searchsorted(survey.table("rows", task), rows[chosen])]
    assert result is not None
    return result


def join_components(survey: Survey, engine: Engine, first_part: int) -> tuple[int, int]:
    """Unite the edges of all buckets into components, and leave a verdict on all but the smallest of each.

    A document that falls names the one that it was compared with; where that is not the one that stays, the verdicts
    go on with what that one was compared with, and end at the one that stays.

    The arrays over all documents are files mapped into memory, 40 bytes per document, so that their size is a matter
    of the disk. Returns the number of parts left, from `first_part` on, and of components.
    """
    (result,) = run_plan(engine, _components, [(survey, first_part)], survey.folder / "components")
    return result


def _components(job: tuple[Survey, int]) -> tuple[int, int]:
    survey, first_part = job
    sizes = [load_array(survey.ids_path(task)).shape[0] for task in range(survey.num_tasks)]
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    parent, via, steps, weights = _ways(survey, offsets)
    parts, num_components = 0, 0
    for start in range(0, survey.num_tasks, _TASKS_PER_PART):
        tasks = range(start, min(start + _TASKS_PER_PART, survey.num_tasks))
        low, high = offsets[tasks.start], offsets[tasks.stop]
        members = low + np.flatnonzero(parent[low:high] >= 0)
        num_components += int((steps[members] == 0).sum())
        falls = members[steps[members] > 0]
        verdicts = []
        nodes, left = falls, steps[falls]
        for position in range(NAMED_STEPS):
            verdicts.append(_verdicts(offsets, falls, position, via[nodes], weights[nodes]))
            falls, nodes, left = falls[left > 1], via[nodes][left > 1], left[left > 1] - 1
        verdicts.append(_verdicts(offsets, falls, steps[falls] - 1, _roots(parent, falls), np.float32(0)))
        survey.leave(first_part + parts, np.concatenate(verdicts))
        parts += 1
    return parts, num_components


def _ways(survey: Survey, offsets: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """Return per document its component, the next document on the way to the one that stays, how far, how similar."""
    size = offsets[-1]
    names = {"parent": "i8", "ranks": "u8", "sizes": "i8", "via": "i8", "steps": "i4", "weights": "f4"}
    parent, ranks, sizes, via, steps, weights = (
        _mapped(survey.folder / f"{name}.npy", size, np.dtype(kind)) for name, kind in names.items()
    )
    parent[:], via[:], steps[:] = -1, np.arange(size), -1
    for bucket in range(survey.num_buckets):
        a, b, edges = _edges_of(survey, bucket, offsets)
        unite(a, b, edges["a_rank"], edges["b_rank"], edges["similarity"], parent, ranks, sizes, via, weights)  # type: ignore[no-untyped-call]
    lead_to_roots(parent, via, weights)  # type: ignore[no-untyped-call]
    for bucket in range(survey.num_buckets):
        a, b, edges = _edges_of(survey, bucket, offsets)
        shorten(a, b, edges["similarity"], parent, via, weights)  # type: ignore[no-untyped-call]
    count_steps(via, steps)  # type: ignore[no-untyped-call]
    return parent, via, steps, weights


def _edges_of(survey: Survey, bucket: int, offsets: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    edges = load_array(_edge_file(survey, bucket))
    a, b = (offsets[edges[f"{end}_task"]] + edges[f"{end}_row"] for end in "ab")
    return a, b, edges


def _verdicts(offsets: NDArray[np.int64], falls: NDArray[Any], position: Any, others: Any, value: Any) -> NDArray[Any]:
    verdicts = np.zeros(len(falls), VERDICT)
    for prefix, places in (("", falls), ("keeper_", others)):
        task = np.searchsorted(offsets, places, side="right") - 1
        verdicts[f"{prefix}task"], verdicts[f"{prefix}row"] = task, places - offsets[task]
    verdicts["position"], verdicts["value"] = position, value
    return verdicts


def _roots(parent: NDArray[np.int64], members: NDArray[np.int64]) -> NDArray[np.int64]:
    roots = members
    while True:
        above = parent[roots]
        if np.array_equal(above, roots):
            return roots
        roots = above


def _mapped(path: Path, size: int, dtype: Any) -> NDArray[Any]:
    if size == 0:
        return np.empty(0, dtype)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(int(size),))
    with path.open("r+b") as file:  # a hole in a mapped file that a full disk cannot fill kills the process (SIGBUS)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        else:  # macOS: written once more than needed
            file.seek(array.offset)
            for start in range(0, array.nbytes, _ZEROS):
                file.write(bytes(min(_ZEROS, array.nbytes - start)))
    return array


def _edge_file(survey: Survey, bucket: int) -> Path:
    return survey.folder / f"edges-{bucket:06}.npy"
