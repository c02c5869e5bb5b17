"""Bits per byte and perplexity on held-out text: rolling log-likelihood, defined as in lm-evaluation-harness.

By source and by language of the text, and by position: how much more a model knows with more text before it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.evaluation.asked import in_stretches, positions_of, rolling_requests, stretches_of
from llmkit.evaluation.figures import Lines, Points
from llmkit.evaluation.reading import Item
from llmkit.runtimes import Request, Running, Score, ScoreParts
from llmkit.tasks._texts import TextMeasurement, TextTask

if TYPE_CHECKING:
    from llmkit.evaluation.figures import Figure
    from llmkit.evaluation.measures import Measure


class Perplexity(TextTask):
    """Score every token of texts, or of one split of a token artifact, with a causal language model.

    The text is encoded anew by each model's own tokenizer, so that models with different ones can be compared.
    """

    example: ClassVar[Request] = Score((0,), (0,))

    def on(self, model: Running) -> _Perplexity:
        """Return the measurement of one model."""
        return _Perplexity(self, model)

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Return bits per byte by source and by language, and the loss by position in the context."""
        return [*super().figures(samples), *_by_position(samples)]


@dataclass(frozen=True)
class _Row:
    item: Item
    requests: list[Score]
    num_tokens: int


class _Perplexity(TextMeasurement):
    """Rolling log-likelihoods."""

    def __init__(self, task: Perplexity, model: Running) -> None:
        from llmkit.modeling.tokenizer import special_ids

        super().__init__(task, model)
        self.start = special_ids(self.tokenizer).bos
        # A runtime that gives whole scores alone is asked for those: all but the figure by position is the same.
        self.parts = model.gives_parts

    def rows(self) -> Iterator[_Row]:
        """Yield the documents."""
        for item, ids in self.encoded():
            requests = rolling_requests(ids.tolist(), start=self.start, max_length=positions_of(self.model))
            yield _Row(item, list(map(in_stretches, requests)) if self.parts else requests, len(ids))

    def requests(self, row: _Row) -> list[Score]:
        """Ask for every token of a document."""
        return row.requests

    def score(self, row: _Row, answers: Sequence[Any]) -> dict[str, Any]:
        """Return sizes and the log-likelihood; `positions`: first position, tokens, log-likelihood of stretches."""
        if not self.parts:
            return self.sample(row.item, row.num_tokens, math.fsum(answers))
        found: dict[int, list[float]] = defaultdict(lambda: [0, 0.0])
        for request, parts in zip(row.requests, answers, strict=True):
            assert isinstance(request, ScoreParts)
            for (first, size), value in zip(stretches_of(request), parts.tolist(), strict=True):
                found[first][0] += size
                found[first][1] += value
        total = math.fsum(value for parts in answers for value in parts.tolist())
        positions = [[first, *found[first]] for first in sorted(found)]
        return {**self.sample(row.item, row.num_tokens, total), "positions": positions}


def _by_position(samples: list[dict[str, Any]]) -> list[Figure]:
    """Return the mean loss over stretches of the context, with intervals by document."""
    import numpy as np

    from llmkit.evaluation.estimates import estimates
    from llmkit.evaluation.measures import clusters_of, ratio

    found: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    for number, sample in enumerate(samples):
        for first, size, value in sample.get("positions", ()):
            found[first].append((number, size, value))
    firsts = sorted(found)
    if len(firsts) < 2:
        return []
    measures: dict[str, Measure] = {}
    for first in firsts:
        values, sizes = np.zeros(len(samples)), np.zeros(len(samples))
        for number, size, value in found[first]:
            values[number], sizes[number] = value, size
        measures[str(first)] = ratio(values, sizes, scale=-1.0, higher_is_better=False)
    means = [measure.value for measure in measures.values()]
    sure = list(estimates(measures, clusters_of(samples)).values())
    ends = [
        [mean if end is None else end for mean, end in zip(means, ends, strict=True)]
        for ends in ([one.low for one in sure], [one.high for one in sure])
    ]
    note = "How well a token is predicted with so many tokens before it; lower is better."
    lines = {"loss": Points(firsts, means, *ends)}
    return [Lines("Loss by position", note, lines, "tokens before", "nats per token", grows=True)]
