"""How much of a task's items a model has seen in training, and what its scores are on the items that it has not."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.cleaning.item_texts import texts_in
from llmkit.core.console import Console
from llmkit.core.digest import cache_path, canonical_json, digest_text
from llmkit.core.errors import UserError
from llmkit.core.json import dumps
from llmkit.core.registry import Family
from llmkit.data.artifacts import Corpus, Tokens
from llmkit.data.sources import Source
from llmkit.evaluation.estimates import estimates
from llmkit.evaluation.measures import clusters_of
from llmkit.evaluation.reading import Item, Unreadable, is_ours, read_labelled, read_table, read_texts
from llmkit.stages._eval_training_text import TrainingText
from llmkit.tasks import Task, TaskResult

if TYPE_CHECKING:
    from llmkit.cleaning.overlap import Items

MOST_BYTES = 4 * 10**9
"""Training text that is looked through at most, at some 25 MB/s on one core; results say how much it was."""
LONG = 100 * 10**6
"""Bytes of training text from which on what was found in it is kept for the next evaluation."""
VERSION = 1
"""Of what is kept: raised when the same texts would give other n-grams."""
OWN = ("question", "prompt", "text", "turns", "choices", "reference", "target")
"""Keys of samples that hold an item's texts, for items that are not found among the data by their ids."""

TEXTLESS = "its samples have no text here, and are not found among the rows of its data"


def add_overlap(
    directory: Path | None, tasks: Mapping[str, Task], results: Mapping[str, TaskResult], role: str, console: Console
) -> dict[str, dict[str, Any]]:
    """Return what `results.json` says of the overlap of each task with a model's training text.

    Samples get `overlap`, the share of their n-grams that were seen; null of those too short to tell. Tasks without
    data, such as those that take the time, have none.
    """
    texts = {name: list(_texts(tasks[name], result.samples)) for name, result in results.items()}
    of_data = {name: each for name, each in texts.items() if getattr(tasks[name], "data", None) is not None}
    sought = {name: each for name, each in of_data.items() if any(each)}
    results = {name: results[name] for name in sought}
    textless = {name: {"why": TEXTLESS} for name in of_data.keys() - sought.keys()}
    if not sought:
        return textless
    known = TrainingText.of(directory)
    if not known.texts:
        why = "; ".join(known.unknown) or "its lineage names no text"
        console.info(f"overlap of the {role} with its training text is not known: {why}")
        return textless | {name: {"why": why} for name in results}
    from llmkit.cleaning.overlap import Items  # compiled kernels take a while to import: not before they are needed

    items = {name: Items.of(each) for name, each in sought.items()}
    seen = _look(known, items, console)
    if known.unknown:
        console.warn(f"overlap of the {role}: a part of its training text is not known: {'; '.join(known.unknown)}")
    return textless | {
        name: _facts(tasks[name], result, items[name].shares(), {**seen, "unknown": known.unknown})
        for name, result in results.items()
    }


def _look(known: TrainingText, items: Mapping[str, Items], console: Console) -> dict[str, Any]:
    """Look through training text, as far as it is bounded; return what was read."""
    from llmkit.cleaning.features import Features

    sought = [[text.id, text.part] for text in known.texts], [one.digest for one in items.values()]
    key = digest_text(canonical_json([VERSION, MOST_BYTES, *sought]))
    if (recalled := _recalled(key, items)) is not None:
        return {"corpora": recalled}
    corpora, left = [], MOST_BYTES
    with console.progress("overlap with the training text", unit="documents") as progress:
        for text in known.texts:
            found: dict[str, Any] = {"kind": text.kind, "id": text.id, "documents": 0, "bytes": 0, "whole": True}
            for document in text.read():
                if left <= 0:
                    found["whole"] = False
                    break
                hashes = Features(document).word_hashes
                for one in items.values():
                    one.look_in(hashes)
                size = len(document.encode("utf-8", "surrogatepass"))
                found |= {"documents": found["documents"] + 1, "bytes": found["bytes"] + size}
                left -= size
                progress.advance(1)
            corpora.append(found)
    if MOST_BYTES - left >= LONG:
        _keep(key, items, corpora)
    return {"corpora": corpora}


def _place(key: str) -> Path:
    return cache_path().parent / "overlap" / f"{key[:32]}.npz"


def _recalled(key: str, items: Mapping[str, Items]) -> list[dict[str, Any]] | None:
    """Take what an earlier evaluation has found of the same items in the same text; None where there is none."""
    import numpy as np

    try:
        with np.load(_place(key)) as kept:
            corpora: list[dict[str, Any]] = json.loads(str(kept["corpora"]))
            found = [[kept[f"{number}-{i}"] for i in range(len(one.seen))] for number, one in enumerate(items.values())]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    for one, seen in zip(items.values(), found, strict=True):
        one.seen = seen
    return corpora


def _keep(key: str, items: Mapping[str, Items], corpora: Sequence[Mapping[str, Any]]) -> None:
    import numpy as np

    seen = {f"{number}-{i}": each for number, one in enumerate(items.values()) for i, each in enumerate(one.seen)}
    new = _place(key).with_suffix(f".{os.getpid()}.npz")
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time alone
        new.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(new, allow_pickle=False, corpora=np.array(dumps(corpora)), **seen)
        new.replace(_place(key))


def _facts(task: Task, result: TaskResult, shares: Sequence[float | None], seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of one task, and its scores on the items of which nothing was seen."""
    from llmkit.cleaning.overlap import CHAR_NGRAM, NGRAM

    for sample, share in zip(result.samples, shares, strict=True):
        sample["overlap"] = share
    clean = [sample for sample in result.samples if not sample["overlap"]]
    measures = task.measures(clean) if clean and len(clean) < len(result.samples) else {}
    sure = estimates(measures, clusters_of(clean))
    return {
        "items": len(shares),
        "overlapping": sum(bool(share) for share in shares),
        "too_short": sum(share is None for share in shares),
        "ngram": NGRAM,
        "char_ngram": CHAR_NGRAM,
        **seen,
        "clean": {
            name: {"value": measure.value, **sure[name].facts()}
            for name, measure in measures.items()
            if name in result.scores
        },
    }


def _texts(task: Task, samples: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield the texts of each sample's item: its row of the data or, where that is not found, those in the sample."""
    names = {str(sample.get("id")) for sample in samples}
    rows = next((rows for rows in _rows(task) if not names.isdisjoint(rows)), {})
    for sample in samples:
        own = rows.get(str(sample.get("id")))
        yield own if own else [text for name in OWN for text in texts_in(sample.get(name))]


def _rows(task: Task) -> Iterator[dict[str, list[str]]]:
    """Yield the texts of the data's rows by their ids, in the ways in which tasks read them."""
    data: Any = getattr(task, "data", None)
    if data is None or Tokens(data.root()).is_there():
        return
    if is_ours(data):
        yield {row["id"]: [row["text"]] for row in Corpus(data.root()).rows(["id", "text"])}
        return
    for read in (read_texts, read_table, _labelled(task)):
        with contextlib.suppress(UserError):  # whoever has measured has read it in another way
            yield {item.id: list(texts_in(item.fields)) for item in read(data, Unreadable())}


def _labelled(task: Task) -> Callable[[Source, Unreadable], Iterator[Item]]:
    """Return what reads labelled rows of any kind, by the columns that a task names."""

    def read(data: Source, unreadable: Unreadable) -> Iterator[Item]:
        return read_labelled(data, Family("row").members(), getattr(task, "columns", {}), unreadable)[1]

    return read
