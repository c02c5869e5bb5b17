"""Search an index: by words, by meaning, by the entities of triples; what each finds is fused by its ranks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from llmkit.core.damage import check_part
from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.core.extras import require
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact, open_artifact
from llmkit.core.reading import reading
from llmkit.core.registry import Family
from llmkit.data.artifacts import Index
from llmkit.retrieval.building import embedded
from llmkit.retrieval.entities import Entities
from llmkit.retrieval.terms import terms

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyarrow import Table

    from llmkit.runtimes import Running, Runtime

By = Literal["auto", "words", "vectors", "both"]
FUSED = 60
"""Reciprocal rank fusion: a passage scores the sum of 1 / (60 + rank) (Cormack et al. 2009)."""
DEPTH = 100
"""Passages of each ranking that are fused, or `k` if that is more."""


@dataclass(frozen=True)
class Passage:
    """What was found.

    Attributes:
        id: Its name in the index.
        text: The passage.
        score: By which it was ranked: of one way of searching its own, else the sum of fusion.
        ranks: Its rank from 1 in each way of searching that has found it: `words`, `vectors`, `entities`.
        kind: `document`, `row` or `triple`.
        document: Id of the document that it is a part of.
        source: Name of the source.
        file: Its file, relative to the input; empty where the input was an artifact.
        row: Its row in the file, from 0; None where the input was an artifact.
        start: Its first character within the document's text.
        end: The one behind its last.
        meta: Other columns of the row.
    """

    id: str
    text: str
    score: float
    ranks: Mapping[str, int]
    kind: str
    document: str
    source: str
    file: str
    row: int | None
    start: int
    end: int
    meta: Mapping[str, Any] = field(default_factory=dict)


class Retriever:
    """An index that is open; `search` may be called from several threads.

    What a search needs is compared with its checksums before it is first used, for a flipped bit of a vector is no
    error but another answer. That reads files which are read anyway, at the speed of `core.digest.checksums`.

    Args:
        artifact: The index.
        model: Directory of the model that made the vectors, where it is no longer where it was.
    """

    def __init__(self, artifact: Artifact, model: str | None = None) -> None:
        self.artifact, self.index, self._model = artifact, Index(artifact.path), model
        self.facts = self.index.facts()
        self._busy = Lock()

    @classmethod
    def open(cls, path: str | Path, *, model: str | None = None) -> Self:
        """Open a finished index; what it needs is loaded with the first search that needs it.

        Raises:
            ConfigError: A model is named, and the index has no vectors.
            DataError: There is none, or it is damaged.
        """
        found = cls(open_artifact(path, Index.KIND, role="index"), model)
        if model is not None and not found.has_vectors:
            raise ConfigError(f"--model: the index in '{path}' has no vectors", "llmkit index --model MODEL makes them")
        return found

    @property
    def has_vectors(self) -> bool:
        """Whether passages are found by meaning, too."""
        return bool(self.facts["prompts"])

    def search(self, question: str, k: int = 5, *, by: By = "auto") -> list[Passage]:
        """Return the passages that go with a question, the best first; fewer where no more have anything to do with it.

        Args:
            question: In words.
            k: How many at most.
            by: `words` (BM25), `vectors`, or `both`, fused; `auto` is both where there are vectors. Triples of the
                entities that the question names are found by any of them.

        Raises:
            ConfigError: The index has no vectors, and is to be searched by them.
            DataError: The model that made the vectors is not there.
        """
        if by not in get_args(By):
            raise ConfigError(f"by: there is no '{by}'{nearest(by, get_args(By))}")
        if by in ("vectors", "both") and not self.has_vectors:
            raise ConfigError(
                f"by {by}: the index in '{self.artifact.path}' has no vectors", "llmkit index --model MODEL makes them"
            )
        if not question.strip() or k < 1:
            return []
        depth, rankings = max(k, DEPTH), dict[str, list[tuple[int, float]]]()
        if by != "vectors":
            rankings["words"] = _best(self._by_words(question), depth, above=0)
        if by in ("vectors", "both") or (by == "auto" and self.has_vectors):
            rankings["vectors"] = _best(self._by_vectors(question), depth)
        if self.facts["triples"] and (known := self.entities.named_in(question)):
            rankings["entities"] = self._by_entities(known, question, depth)
        return self._passages(_fused(rankings)[:k], rankings)

    @cached_property
    def entities(self) -> Entities:
        """The triples, by their entities."""
        names = self.table.select(["subject", "object"]).to_pydict()
        return Entities(names["subject"], names["object"])

    @cached_property
    def table(self) -> Table:
        """All passages, mapped from the files."""
        import pyarrow.dataset as ds

        check_part(self.artifact, "index", self.index.PAYLOAD[0])
        files = [str(path) for path in self.index.files()]
        with reading(self.artifact.path):
            return ds.dataset(files, format="parquet").to_table()

    @cached_property
    def _words(self) -> Any:
        check_part(self.artifact, "index", f"{self.index.WORDS}/*")
        with reading(self.index.words):
            return require("retrieval").BM25.load(self.index.words, mmap=True, show_progress=False)

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        check_part(self.artifact, "index", self.index.VECTORS)
        with reading(self.index.vectors):
            found: NDArray[np.float32] = np.load(self.index.vectors, mmap_mode="r")
            return found

    @cached_property
    def model(self) -> Running:
        """What makes vectors of questions: the model that made those of the passages.

        Raises:
            DataError: It is not there any more, or another one is.
        """
        made = next(item for item in self.artifact.manifest.inputs if item.role == "model")
        where = self._model or made.path
        runtime: Runtime = Family("runtime").parse(self.artifact.manifest.config["written"]["runtime"])
        named = f"llmkit search {self.artifact.path} --model DIR"
        if not Path(where).exists():
            raise DataError(f"the model that made the vectors is not at {where}", f"{named} says where it is")
        here = Inputs()
        runtime.add_input(here, where, "model")
        if here.entries[0].digest != made.digest:
            raise DataError(f"the model in '{where}' is not the one that made the vectors", f"{named} names that one")
        return runtime.load(where)

    def _by_words(self, question: str) -> NDArray[np.float32]:
        """Return the score of each passage."""
        index = self._words
        # A word counts as often as it is asked for once: repeated words of a question are no emphasis.
        with self._busy:
            ids = index.get_tokens_ids(list(dict.fromkeys(terms(question))))
        if not ids:
            return np.zeros(self.facts["passages"], np.float32)
        found: NDArray[np.float32] = index.get_scores_from_ids(ids)
        return found

    def _by_vectors(self, question: str) -> NDArray[np.float32]:
        with self._busy:
            (vector,), _ = embedded(self.model, [question], "query")
        found: NDArray[np.float32] = self._vectors @ vector
        return found

    def _by_entities(self, known: Sequence[int], question: str, depth: int) -> list[tuple[int, float]]:
        """Return the triples of entities, those first that share most with the question."""
        scores = self._by_words(question)
        ordered = sorted(known, key=lambda number: (-scores[number], number))
        return [(number, float(scores[number])) for number in ordered[:depth]]

    def _passages(self, found: Sequence[tuple[int, float]], rankings: Mapping[str, Any]) -> list[Passage]:
        ranks: dict[int, dict[str, int]] = {number: {} for number, _ in found}
        for name, ranking in rankings.items():
            for rank, (number, _) in enumerate(ranking, 1):
                if number in ranks:
                    ranks[number][name] = rank
        rows = self.table.take([number for number, _ in found]).to_pylist() if found else []
        names = ("id", "text", "kind", "document", "source", "file", "row", "start", "end")
        return [
            Passage(
                **{name: row[name] for name in names}, score=score, ranks=ranks[number], meta=json.loads(row["meta"])
            )
            for row, (number, score) in zip(rows, found, strict=True)
        ]


def _best(scores: NDArray[np.float32], count: int, above: float = -np.inf) -> list[tuple[int, float]]:
    """Return the numbers of the greatest scores and these, the first of equal ones first."""
    least = np.partition(scores, -count)[-count] if count < len(scores) else -np.inf
    places = np.flatnonzero((scores >= least) & (scores > above))
    places = places[np.argsort(-scores[places], kind="stable")][:count]
    return [(int(place), float(scores[place])) for place in places]


def _fused(rankings: Mapping[str, Sequence[tuple[int, float]]]) -> list[tuple[int, float]]:
    """Return what several rankings say together; a single one as it is."""
    found = [ranking for ranking in rankings.values() if ranking]
    if len(found) == 1:
        return list(found[0])
    total: dict[int, float] = {}
    for ranking in found:
        for rank, (number, _) in enumerate(ranking, 1):
            total[number] = total.get(number, 0.0) + 1 / (FUSED + rank)
    return sorted(total.items(), key=lambda item: (-item[1], item[0]))
