"""From answers to columns of Parquet: labels with their probabilities, numbers, spans, vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.metrics._entities import entities
from llmkit.modeling.spans import is_answered
from llmkit.runtimes import SpanFound, TagsFound, Written

BINS = 20
NO_ANSWER = "(no answer)"
UNSURE = "(below its threshold)"
ENDED, CUT = "ended by itself", "cut at the longest answer"


@dataclass
class Said:
    """What was said of some rows, for the report.

    Attributes:
        counts: How often each label, kind of span or outcome was said.
        bins: Histogram of how sure the model is, from 0 to 1 in `BINS` bins.
        sure: Of each row how sure it is, `[rows]`; NaN where that has no meaning.
        words: What was said of each row, in words.
        quotes: The words hold parts of the texts.
    """

    counts: Counter[str] = field(default_factory=Counter)
    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    sure: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    words: list[str] = field(default_factory=list)
    quotes: bool = False


class Output:
    """What becomes of the answers of a kind of head; base of one class for each."""

    def fields(self) -> list[pa.Field]:
        """Return the columns."""
        raise NotImplementedError

    def columns(self, answers: Sequence[Any], texts: Sequence[str]) -> tuple[list[pa.Array], Said]:
        """Return the columns of some rows, all of which have answers.

        Args:
            answers: The answers.
            texts: The texts that they are about, in which spans stand.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Labels(Output):
    """One label, or several, and the probability of every label.

    Attributes:
        names: In the order of the outputs.
        several: Each label is there or not.
        thresholds: Probability from which each is said.
    """

    names: Sequence[str]
    several: bool
    thresholds: NDArray[np.float64]

    def fields(self) -> list[pa.Field]:
        """Return `label` and its `score`, or `labels`; and `scores`, a number for each label."""
        scores = pa.field("scores", pa.struct([pa.field(name, pa.float32()) for name in self.names]))
        if self.several:
            return [pa.field("labels", pa.list_(pa.string())), scores]
        return [pa.field("label", pa.string()), pa.field("score", pa.float32()), scores]

    def columns(self, answers: Sequence[Any], texts: Sequence[str]) -> tuple[list[pa.Array], Said]:  # noqa: ARG002 - no spans
        """Return the columns."""
        logits = np.stack(answers).astype(np.float64)
        if self.several:
            return self._several(1 / (1 + np.exp(-logits)))
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        best = shares.argmax(1)
        score = shares[np.arange(len(best)), best]
        said = [
            self.names[i] if sure else None
            for i, sure in zip(best.tolist(), score >= self.thresholds[best], strict=True)
        ]
        words = [f"{self.names[i]} {p:.2f}" for i, p in zip(best.tolist(), score.tolist(), strict=True)]
        found = Said(Counter(UNSURE if name is None else name for name in said), _bins(score), score, words)
        return [pa.array(said, pa.string()), _floats(score), self._scores(shares)], found

    def _several(self, shares: NDArray[np.float64]) -> tuple[list[pa.Array], Said]:
        chosen = shares >= self.thresholds
        said = [[self.names[i] for i in np.flatnonzero(row).tolist()] for row in chosen]
        counts = Counter(name for names in said for name in names)
        counts["(none)"] = sum(not names for names in said)
        # A row is as sure as its least sure label is far from its threshold.
        sure = np.where(chosen, shares, 1 - shares).min(1)
        words = [", ".join(names) or "(none)" for names in said]
        labels = pa.array(said, pa.list_(pa.string()))
        return [labels, self._scores(shares)], Said(+counts, _bins(sure), sure, words)

    def _scores(self, shares: NDArray[np.float64]) -> pa.Array:
        return pa.StructArray.from_arrays([_floats(column) for column in shares.T], names=list(self.names))


@dataclass(frozen=True)
class Numbers(Output):
    """One number, or one for each name."""

    names: Sequence[str]

    def fields(self) -> list[pa.Field]:
        """Return `number`, or `numbers` by name."""
        if len(self.names) == 1:
            return [pa.field("number", pa.float32())]
        return [pa.field("numbers", pa.struct([pa.field(name, pa.float32()) for name in self.names]))]

    def columns(self, answers: Sequence[Any], texts: Sequence[str]) -> tuple[list[pa.Array], Said]:  # noqa: ARG002 - no spans
        """Return the columns."""
        found = np.stack(answers).astype(np.float64)
        words = [", ".join(f"{value:.4g}" for value in row) for row in found]
        said = Said(sure=np.full(len(found), np.nan), words=words)
        if len(self.names) == 1:
            return [_floats(found[:, 0])], said
        return [pa.StructArray.from_arrays([_floats(column) for column in found.T], names=list(self.names))], said


@dataclass(frozen=True)
class Spans(Output):
    """Entities or, where the tags name none, every word with its tag.

    A word's tag is that of its first token, as it is trained; a span's score is the mean of its words' probabilities.

    Attributes:
        names: The tags in the order of the outputs.
    """

    names: Sequence[str]

    def fields(self) -> list[pa.Field]:
        """Return `spans`: first character and the one behind the last, label, text and score."""
        span = [("start", pa.int32()), ("end", pa.int32()), ("label", pa.string()), ("text", pa.string())]
        return [pa.field("spans", pa.list_(pa.struct([*span, ("score", pa.float32())])))]

    def columns(self, answers: Sequence[TagsFound], texts: Sequence[str]) -> tuple[list[pa.Array], Said]:
        """Return the columns."""
        rows = [self._spans(found, text) for found, text in zip(answers, texts, strict=True)]
        counts = Counter(span["label"] for row in rows for span in row)
        sure = np.array([min((span["score"] for span in row), default=np.nan) for row in rows])
        words = [", ".join(f"{span['label']}: {span['text']}" for span in row) for row in rows]
        scores = np.array([span["score"] for row in rows for span in row])
        return [pa.array(rows, self.fields()[0].type)], Said(counts, _bins(scores), sure, words, quotes=True)

    def _spans(self, found: TagsFound, text: str) -> list[dict[str, Any]]:
        words, first = np.unique(found.words, return_index=True)
        if not words.size:
            return []
        last = np.append(first[1:], len(found.words)) - 1
        shares = np.exp(found.logits[first] - found.logits[first].max(1, keepdims=True).astype(np.float64))
        shares /= shares.sum(1, keepdims=True)
        best = shares.argmax(1)
        sure = shares[np.arange(len(best)), best]
        tags = [self.names[i] for i in best.tolist()]
        if self.are_entities:
            parts = [(entity.start, entity.stop, entity.type) for entity in entities(tags)]
        else:
            parts = [(i, i + 1, tag) for i, tag in enumerate(tags)]
        spans = []
        for start, stop, label in parts:
            begin, end = int(found.offsets[first[start], 0]), int(found.offsets[last[stop - 1], 1])
            inside = text[begin:end]  # of byte-level tokenizers a word has the blank before it
            begin += len(inside) - len(inside.lstrip())
            inside = inside.strip()
            score = float(sure[start:stop].mean())
            spans.append({"start": begin, "end": begin + len(inside), "label": label, "text": inside, "score": score})
        return spans

    @property
    def are_entities(self) -> bool:
        """Whether the tags are those of a scheme that marks where entities begin and go on."""
        try:
            entities(self.names)
        except DataError:
            return False
        return True


@dataclass(frozen=True)
class Answers(Output):
    """The span that answers a question, or null where "no answer" is likelier, by as much as the model says."""

    def fields(self) -> list[pa.Field]:
        """Return `answer`, where it stands, the sum of its two logits, and the same of "no answer"."""
        return [
            pa.field("answer", pa.string()), pa.field("start", pa.int32()), pa.field("end", pa.int32()),
            pa.field("score", pa.float32()), pa.field("no_answer_score", pa.float32()),
        ]  # fmt: skip

    def columns(self, answers: Sequence[SpanFound], texts: Sequence[str]) -> tuple[list[pa.Array], Said]:
        """Return the columns."""
        there = [is_answered(found, found.threshold) for found in answers]
        spans = [
            (text[found.start : found.end], found.start, found.end) if is_there else (None, None, None)
            for found, text, is_there in zip(answers, texts, there, strict=True)
        ]
        margin = np.array([found.score - found.none + (found.threshold or 0.0) for found in answers])
        sure = 1 / (1 + np.exp(-np.abs(margin)))
        said = Said(
            Counter("answered" if is_there else NO_ANSWER for is_there in there), _bins(sure), sure,
            [span[0] or NO_ANSWER for span in spans], quotes=True,
        )  # fmt: skip
        own, starts, ends = zip(*spans, strict=True)
        scores = ([found.score for found in answers], [found.none for found in answers])
        arrays = [pa.array(own, pa.string()), pa.array(starts, pa.int32()), pa.array(ends, pa.int32())]
        return [*arrays, *(_floats(np.array(values)) for values in scores)], said


class Texts(Output):
    """A text that the model writes."""

    def fields(self) -> list[pa.Field]:
        """Return `output`, and whether it `ended` by itself rather than at the longest answer."""
        return [pa.field("output", pa.string()), pa.field("ended", pa.bool_())]

    def columns(self, answers: Sequence[Written], texts: Sequence[str]) -> tuple[list[pa.Array], Said]:  # noqa: ARG002
        """Return the columns."""
        written, ended = [found.text.strip() for found in answers], [found.ended for found in answers]
        counts = Counter(ENDED if is_ended else CUT for is_ended in ended)
        said = Said(counts, sure=np.full(len(answers), np.nan), words=written)
        return [pa.array(written, pa.string()), pa.array(ended, pa.bool_())], said


@dataclass(frozen=True)
class Vectors(Output):
    """A vector for each text.

    Attributes:
        size: Its dimensions.
    """

    size: int

    def fields(self) -> list[pa.Field]:
        """Return `vector`, a list of fixed size."""
        return [pa.field("vector", pa.list_(pa.float32(), self.size))]

    def columns(self, answers: Sequence[Any], texts: Sequence[str]) -> tuple[list[pa.Array], Said]:  # noqa: ARG002 - no spans
        """Return the column."""
        flat = pa.array(np.concatenate(answers).astype(np.float32))
        unknown = Said(sure=np.full(len(answers), np.nan), words=[""] * len(answers))
        return [pa.FixedSizeListArray.from_arrays(flat, self.size)], unknown


def thresholds_of(
    names: Sequence[str], given: float | Mapping[str, float] | None, default: float
) -> NDArray[np.float64]:
    """Return the probability from which each label is said.

    Raises:
        ConfigError: One is given for a label that there is not.
    """
    if not isinstance(given, Mapping):
        return np.full(len(names), default if given is None else given, np.float64)
    for name in given:
        if name not in names:
            raise ConfigError(f"threshold.{name}: the model has no such label{nearest(name, names)}")
    return np.array([given.get(name, default) for name in names], np.float64)


def distinct(names: Sequence[str]) -> list[str]:
    """Return the labels' names, those that several outputs have with the number of the output behind them."""
    counts, found = Counter(names), list[str]()
    for i, name in enumerate(names):
        own = name if counts[name] == 1 else f"{name} ({i})"
        while own in found or (own != name and own in counts):
            own += "'"
        found.append(own)
    return found


def _floats(values: NDArray[Any]) -> pa.Array:
    return pa.array(values.astype(np.float32))


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.histogram(values, BINS, (0, 1))[0].astype(np.int64)
