"""Whether the texts that belong to a query are found among many by their vectors; translations of each other, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator

from llmkit.core.errors import DataError
from llmkit.evaluation.measures import mean
from llmkit.evaluation.reading import shown
from llmkit.runtimes import Embed, Request, Running
from llmkit.tasks import Measurement, TaskResult
from llmkit.tasks._headed import Headed, HeadTask, key_of_text
from llmkit.tasks._search import Search, is_judged, read_judged, searches_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.evaluation.figures import Figure
    from llmkit.evaluation.measures import Measure

DEPTHS = (1, 2, 3, 5, 10, 20, 50, 100)
"""Of the figure."""


class Retrieval(HeadTask):
    """Embed queries and texts, and look for the texts that belong to each query among all texts by their cosine.

    The texts are those of all rows, equal ones once, those that do not belong included; or those of a folder with
    `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`, as BEIR has them. A text that is just as near as the right
    one comes before it.
    """

    example: ClassVar[Request] = Embed("a")
    kinds: ClassVar[tuple[str, ...]] = ("triplet", "source_target")

    overlength: Literal["skip", "truncate"] = "truncate"
    """What becomes of a text that is longer than what the model reads: it is read without its end, as search does, or
    left out, with the queries that it alone belongs to. Both are counted."""
    both_ways: bool | Literal["auto"] = "auto"
    """Whether the texts are queries for the queries as well, as `backward_...`. auto: of sources and their targets,
    such as translations."""
    negatives: bool = True
    """Whether texts that do not belong, which rows may have, are among those that are searched."""
    query_prompt: str | None = None
    """What is put before queries. null: what the model's files say."""
    document_prompt: str | None = None
    """What is put before the texts that are searched. null: what the model's files say."""
    recall_at: list[int] = Field([1, 10, 100], min_length=1)
    """Ranks up to which recall counts."""
    split: str = "test"
    """Which judgements of a folder that has them, in `qrels`."""

    @field_validator("recall_at")
    @classmethod
    def _ranks(cls, ranks: list[int]) -> list[int]:
        if min(ranks) < 1 or len({*ranks}) < len(ranks):
            raise ValueError("each is a rank, from 1, and is there once")
        return ranks

    def on(self, model: Running) -> Measurement:
        """Return the measurement of one model."""
        return _Retrieval(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return nDCG and MRR at 10, MAP and recall; those of the other way round begin with `backward_`."""
        from llmkit.metrics._retrieval import place_scores

        scores = [place_scores(sample["ranks"], _gains(sample), self.recall_at) for sample in samples]
        found: dict[str, Measure] = {}
        for way in dict.fromkeys(sample["way"] for sample in samples):
            for name in scores[0]:
                values = [
                    own[name] if sample["way"] == way else np.nan for own, sample in zip(scores, samples, strict=True)
                ]
                found[name if way == "forward" else f"{way}_{name}"] = mean(values)
        return found

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Return recall over how far down one looks."""
        from llmkit.evaluation.figures import Lines, Points

        lines = {}
        for way in dict.fromkeys(sample["way"] for sample in samples):
            ranks = [np.array(sample["ranks"]) for sample in samples if sample["way"] == way]
            recall = [float(np.mean([(own <= depth).mean() for own in ranks])) for depth in DEPTHS]
            lines[way] = Points([float(depth) for depth in DEPTHS], recall)
        return [
            Lines("Recall by depth", "", lines=lines, x="texts that are looked at", y="share that is found", grows=True)
        ]


class _Text(NamedTuple):
    """A text with what is put before it."""

    text: str
    is_query: bool


class _Retrieval(Headed):
    def __init__(self, task: Retrieval, model: Running) -> None:
        super().__init__(task, model)
        self.task = task
        own = model.facts.prompts
        self.prompts = {
            True: own.get("query", "") if task.query_prompt is None else task.query_prompt,
            False: own.get("document", "") if task.document_prompt is None else task.document_prompt,
        }
        self.searches: dict[str, Search] = {}
        self.more: list[str] = []
        self.vectors: dict[_Text, NDArray[np.float32]] = {}

    def rows(self) -> Iterator[_Text]:
        """Yield every text once for each side that it is on."""
        task = self.task
        if is_judged(task.data):
            search, self.more = read_judged(task.data, task.split, task.limit, self.unreadable)
            self.searches = {"forward": search}
        else:
            kind, rows = task.read(self.unreadable)
            both = kind.type_name == "source_target" if task.both_ways == "auto" else task.both_ways
            self.searches = searches_of(rows, negatives=task.negatives, both=both)
        texts = {
            _Text(text, is_query): None
            for search in self.searches.values()
            for side, is_query in ((search.queries.values(), True), (search.pool, False))
            for text in side
        }
        yield from self.asked(iter(texts))

    def requests(self, row: _Text) -> list[Embed]:
        """Ask for a vector."""
        return [Embed(row.text, self.prompts[row.is_query])]

    def score(self, row: _Text, answers: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
        """Keep the vector, one long: what it is worth is seen beside all others."""
        (vector,) = answers
        self.vectors[row] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return {}

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:  # noqa: ARG002 - those are of texts
        """Search, and return the scores of the queries.

        Raises:
            DataError: No query is left of which both sides are read.
        """
        left = sum(
            search.without(
                {(text, is_query) for text, is_query in _texts_of(search) if _Text(text, is_query) not in self.vectors}
            )
            for search in self.searches.values()
        )
        if not any(search.queries for search in self.searches.values()):
            raise DataError(f"tasks.data: {shown(self.data)} has no query to ask: {'; '.join(self.notes())}",
                            "overlength: truncate reads the beginnings")  # fmt: skip
        found = [sample for way, search in self.searches.items() for sample in self._searched(way, search)]
        facts: dict[str, Any] = {
            "queries": {way: len(search.queries) for way, search in self.searches.items()},
            "texts": {way: len(search.pool) for way, search in self.searches.items()},
            "query_prompt": self.prompts[True], "document_prompt": self.prompts[False], "skipped": left,
        }  # fmt: skip
        notes = [*([f"{left:,} queries are left out, with the texts that are skipped"] if left else []), *self.more]
        return TaskResult.of(self.task.measures(found), found, facts, [*self.notes(), *notes])

    def _searched(self, way: str, search: Search) -> Iterator[dict[str, Any]]:
        """Yield a sample for each query: where the texts that belong to it are, and which text comes first."""
        from llmkit.metrics._retrieval import place_scores, places

        pool = list(search.pool)
        number = {text: i for i, text in enumerate(pool)}
        texts = np.stack([self.vectors[_Text(text, False)] for text in pool])
        queries = np.stack([self.vectors[_Text(query, True)] for query in search.queries.values()])
        own = [[number[text] for text in search.relevant[name]] for name in search.queries]
        for (name, query), (ranks, first) in zip(search.queries.items(), places(queries, texts, own), strict=True):
            gains = search.relevant[name]
            sample: dict[str, Any] = {
                "id": name, "way": way, "cluster": key_of_text(query if way == "backward" else next(iter(gains))),
                "prompt": query, "reference": next(iter(gains)) if len(gains) == 1 else [*gains],
                "prediction": pool[first], "ranks": ranks,
            }  # fmt: skip
            if set(gains.values()) != {1.0}:
                sample["gains"] = [*gains.values()]
            yield {**sample, **place_scores(ranks, _gains(sample), self.task.recall_at[:1])}


def _texts_of(search: Search) -> list[tuple[str, bool]]:
    return [*((query, True) for query in search.queries.values()), *((text, False) for text in search.pool)]


def _gains(sample: dict[str, Any]) -> list[float]:
    return sample.get("gains") or [1.0] * len(sample["ranks"])
