"""Hard negatives: what is near a query and does not belong to it, with a margin (Moreira et al. 2024)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from llmkit.core.config import Config
from llmkit.data.artifacts import Examples
from llmkit.data.split import split_of
from llmkit.work.once import run_once

if TYPE_CHECKING:
    from llmkit.core.console import Console
    from llmkit.data.rows import Row
    from llmkit.modeling.pooling import Pooling

Scores = NDArray[np.float32]
Search = Callable[[slice], Scores]
"""Scores of some queries, `[queries, texts]`."""
AT_ONCE = 256
"""Queries that are held against the whole pool at a time."""
BATCH_TOKENS = 8192


class Negatives(Config):
    """Texts that do not belong to a query."""

    most: int | None = Field(None, ge=0)
    """Most of a row that are used, the first ones. null: all, those that are mined included."""
    mine: int = Field(0, ge=0)
    """Texts per row that are searched before training, among the positives of all training rows, and put behind those
    that the row has. Rows that find fewer are counted."""
    by: Literal["model", "bm25"] = "model"
    """What they are searched by: the vectors of the model that is trained, or words they share (BM25)."""
    skip_top: int = Field(5, ge=0)
    """How many of the nearest are left alone: too often they belong, and nobody has said so."""
    margin: float = Field(0.05, ge=0, lt=1)
    """How much less than the own text's the score of a negative has to be, as a share of it. What is nearer is taken
    for one that belongs."""


def mine(
    settings: Negatives,
    corpora: Sequence[Path],
    kind: Row,
    model: Path,
    pooling: Pooling,
    prompts: tuple[str, str],
    folder: Path,
    fraction: float,
    console: Console,
) -> list[Path]:
    """Write the rows with mined negatives into a folder of examples, and return it; what is done is not done again.

    Args:
        settings: What is wanted.
        corpora: Folders of examples.
        kind: Of the rows: `triplet`.
        model: Where the model is that vectors are of.
        pooling: How it makes them.
        prompts: What is put before queries and before other texts.
        folder: Where to work.
        fraction: Share of the rows that validation gets: none of their texts is mined.
        console: For progress.
    """
    out = folder / "mined"

    def work() -> tuple[int, int]:
        rows = [row for corpus in corpora for row in Examples(corpus).rows()]
        trained = [split_of(row["text"], validation_fraction=fraction, test_fraction=0) == "train" for row in rows]
        pool = list(dict.fromkeys(row["positive"] for row, own in zip(rows, trained, strict=True) if own))
        queries = list(dict.fromkeys(row["query"] for row in rows))
        if settings.by == "bm25":
            from llmkit.objectives.rows._bm25 import bm25

            search = bm25(pool, queries)
        else:
            search = _by_model(model, pooling, prompts, pool, queries, console)
        found = _searched(settings, rows, pool, queries, search, console)
        _write(out, kind, rows, found)
        return sum(map(len, found)), sum(len(more) < settings.mine for more in found)

    number, short = run_once(folder / "mining", "done", work)
    console.info(f"{number:,} negatives were mined by {settings.by}")
    if short:
        console.warn(f"{short:,} rows found fewer than {settings.mine} negatives: what is nearer may belong to them")
    return [out]


def _searched(
    settings: Negatives,
    rows: Sequence[dict[str, Any]],
    pool: list[str],
    queries: list[str],
    search: Search,
    console: Console,
) -> list[list[str]]:
    """Return the negatives of each row, the nearest first."""
    place = {text: i for i, text in enumerate(pool)}
    of_query: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        of_query.setdefault(row["query"], []).append(number)
    found: list[list[str]] = [[] for _ in rows]
    with console.progress("mining", total=len(queries), unit="queries") as progress:
        for start in range(0, len(queries), AT_ONCE):
            part = queries[start : start + AT_ONCE]
            for query, scores in zip(part, search(slice(start, start + AT_ONCE)), strict=True):
                numbers = of_query[query]
                texts = {query, *(text for i in numbers for text in (rows[i]["positive"], *rows[i]["negatives"]))}
                own = [place[rows[i]["positive"]] for i in numbers if rows[i]["positive"] in place]
                chosen = _choose(settings, scores, own, [place[text] for text in texts if text in place])
                for number in numbers:
                    found[number] = [pool[i] for i in chosen]
            progress.advance(len(part))
    return found


def _choose(settings: Negatives, scores: Scores, own: Sequence[int], known: Sequence[int]) -> list[int]:
    """Return the places of a query's negatives in the pool, the nearest first; equal ones in the order of the pool."""
    limit = np.inf
    if own:  # the positive of a validation row is in no pool
        worst = float(scores[list(own)].min())
        limit = worst - settings.margin * abs(worst)
    left = scores.copy()
    left[list(known)] = -np.inf
    wanted = min(len(left), settings.skip_top + settings.mine + int((left > limit).sum()))
    nearest = np.argpartition(-left, wanted - 1)[:wanted] if wanted < len(left) else np.arange(len(left))
    nearest = nearest[np.lexsort((nearest, -left[nearest]))][settings.skip_top :]
    fitting = nearest[(left[nearest] <= limit) & np.isfinite(left[nearest])]
    return [int(i) for i in fitting[: settings.mine]]


def _by_model(
    model: Path, pooling: Pooling, prompts: tuple[str, str], pool: list[str], queries: list[str], console: Console
) -> Search:
    """Return the cosines of the model's vectors."""
    import torch

    from llmkit.modeling.heads.embedding import Embedding
    from llmkit.modeling.load import load_model
    from llmkit.modeling.tokenizer import load_tokenizer
    from llmkit.runtimes._heads import HeadAnswers

    body = load_model(model, Embedding()).to("cuda" if torch.cuda.is_available() else "cpu").eval()
    answers = HeadAnswers(body, load_tokenizer(model), Embedding(), model, pooling)
    texts, wanted = (
        [prompt + text for text in side] for prompt, side in zip(prompts[::-1], (pool, queries), strict=True)
    )
    points, asked = (_vectors(answers, side, console) for side in (texts, wanted))
    return lambda part: asked[part] @ points.T


def _vectors(answers: Any, texts: list[str], console: Console) -> Scores:
    """Return the vectors of texts, of length one, `[texts, dimensions]`."""
    from llmkit.runtimes import Embed

    requests = [Embed(text) for text in texts]
    answers.prepare(requests)
    lengths = np.array([len(answers.encoded(request).ids) for request in requests])
    order = np.argsort(-lengths, kind="stable")
    found: list[NDArray[np.float32]] = []
    with console.progress("embedding", total=len(texts), unit="texts") as progress:
        while len(found) < len(order):
            rest = order[len(found) :]
            part = rest[: max(1, BATCH_TOKENS // int(lengths[rest[0]]))]
            found += answers.answer([requests[i] for i in part])
            progress.advance(len(part))
    vectors = np.empty((len(texts), len(found[0])), np.float32)
    vectors[order] = found
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors


def _write(out: Path, kind: Row, rows: Sequence[dict[str, Any]], found: Sequence[list[str]]) -> None:
    from llmkit.data.corpus import CorpusWriter, Document

    out.mkdir(exist_ok=True)
    for old in Examples(out).files():  # of a run that was killed in the midst of this
        old.unlink()
    kept = kind.kept()
    writer = CorpusWriter(out, kept)
    for row, more in zip(rows, found, strict=True):
        own = {name: row[name] for name in kept.aliases}
        own["negatives"] = [*own["negatives"], *more]
        writer.write(
            Document(row["id"], row["text"], row["source"], row["language"], own, kept, json.loads(row["meta"]))
        )
    writer.close()
