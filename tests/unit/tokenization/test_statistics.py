"""Token statistics: sums counted by hand, the same however documents are batched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.data.split import SPLITS
from llmkit.tokenization import statistics as module
from llmkit.tokenization.statistics import (
    BYTE,
    LENGTH_EDGES,
    NUM_LONGEST,
    PARTIAL,
    SPECIAL,
    UNKNOWN,
    WHOLE,
    Counts,
    Group,
    Long,
    TokenStatistics,
)

KINDS = np.array([SPECIAL, WHOLE, WHOLE, PARTIAL, BYTE, UNKNOWN], np.uint8)


def add(statistics, rows):
    """Add documents given as (id, split, source, language, text, token ids)."""
    ids = [row[5] for row in rows]
    statistics.add(
        documents=[row[0] for row in rows],
        splits=[row[1] for row in rows],
        sources=[row[2] for row in rows],
        languages=[row[3] for row in rows],
        num_bytes=np.array([len(row[4].encode()) for row in rows], np.int64),
        num_chars=np.array([len(row[4]) for row in rows], np.int64),
        input_ids=np.array([i for row in ids for i in row], np.uint16),
        num_tokens=np.array([len(row) for row in ids], np.int64),
        text=[row[4] for row in rows].__getitem__,
    )
    return statistics


ROWS = [
    ("d1", "train", "web", "en", "two words", [1, 2, 1]),
    ("d2", "train", "web", "zh", "你好。", [3, 3, 4, 5]),
    ("d3", "test", "book", "en", "", []),
    ("d4", "train", "web", "en", "one", [2]),
]


def test_sums_per_group_by_hand():
    found = add(TokenStatistics(KINDS), ROWS).groups()
    english = Counts(documents=2, tokens=4, bytes=12, characters=12, words=3, word_tokens=4)
    chinese = Counts(1, 4, 9, 3, partial=2, byte_fallback=1, unknown=1, words=2, word_tokens=4)
    assert found == {
        Group("train", "web", "en"): english,
        Group("train", "web", "zh"): chinese,
        Group("test", "book", "en"): Counts(documents=1),
    }


def test_sums_by_one_column_with_the_most_tokens_first():
    found = add(TokenStatistics(KINDS), ROWS)
    assert list(found.by("source")) == ["web", "book"]
    assert found.by("source")["web"].tokens == 8
    assert found.by("language")["en"].documents == 3
    assert found.total().bytes == 21


def test_every_id_is_counted():
    assert add(TokenStatistics(KINDS), ROWS).counts.tolist() == [0, 2, 2, 2, 1, 1]


def test_ids_of_four_bytes_are_counted_as_well():
    kinds = np.zeros(70_000, np.uint8)
    found = TokenStatistics(kinds)
    found.add(
        documents=["a"],
        splits=["train"],
        sources=["s"],
        languages=["en"],
        num_bytes=np.array([3]),
        num_chars=np.array([3]),
        input_ids=np.array([69_999, 5, 69_999], np.uint32),
        num_tokens=np.array([3]),
        text="abc".__getitem__,
    )
    assert found.counts[69_999] == 2
    assert found.counts.sum() == 3


@pytest.mark.parametrize(
    ("tokens", "upper"), [(0, 0), (1, 1), (4, 4), (5, 5), (9, 10), (512, 512), (513, 640), (4097, 5120)]
)
def test_a_length_falls_into_the_bin_that_ends_at_or_above_it(tokens, upper):
    found = add(TokenStatistics(KINDS), [("d", "validation", "s", "en", "x", [1] * tokens)])
    (place,) = np.argwhere(found.lengths[..., 0])
    assert SPLITS[place[0]] == "validation"
    assert LENGTH_EDGES[place[1]] == upper
    assert found.lengths[tuple(place)].tolist() == [1, tokens]


def test_edges_ascend_and_hold_every_power_of_two():
    assert (np.diff(LENGTH_EDGES) > 0).all()
    assert set(2 ** np.arange(31)) <= set(LENGTH_EDGES.tolist())


def test_the_longest_documents_are_kept_in_order():
    rows = [(f"d{i:03}", "train", "s", "en", "x", [1] * (i * 7 % 101)) for i in range(101)]
    found = TokenStatistics(KINDS)
    for start in range(0, len(rows), 10):
        add(found, rows[start : start + 10])
    assert [long.tokens for long in found.longest] == list(range(100, 100 - NUM_LONGEST, -1))
    assert found.longest[0] == Long(100, next(r[0] for r in rows if len(r[5]) == 100), "train", "s", "en")


documents = st.lists(
    st.tuples(
        st.uuids().map(lambda u: u.hex),
        st.sampled_from(SPLITS),
        st.sampled_from(["web", "book"]),
        st.sampled_from(["en", "zh"]),
        st.text(max_size=20),
        st.lists(st.integers(0, 5), max_size=30),
    ),
    max_size=30,
)


@given(documents, st.integers(0, 30))
def test_merging_parts_gives_what_one_pass_gives(rows, at):
    whole = add(TokenStatistics(KINDS), rows)
    parts = add(TokenStatistics(KINDS), rows[:at])
    parts.merge(add(TokenStatistics(KINDS), rows[at:]))
    assert parts.groups() == whole.groups()
    assert parts.counts.tolist() == whole.counts.tolist()
    assert parts.lengths.tolist() == whole.lengths.tolist()
    assert parts.longest == whole.longest
    assert parts.samples == whole.samples


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match="2 ids for documents of 3 tokens"):
        TokenStatistics(KINDS).add(
            documents=["d"],
            splits=["train"],
            sources=["s"],
            languages=["en"],
            num_bytes=np.array([1]),
            num_chars=np.array([1]),
            input_ids=np.array([1, 2], np.uint16),
            num_tokens=np.array([3]),
            text="a".__getitem__,
        )
    with pytest.raises(ValueError, match="two vocabularies"):
        TokenStatistics(KINDS).merge(TokenStatistics(KINDS[:3]))


def test_words_are_counted_in_all_documents_at_first_and_then_in_some(monkeypatch):
    monkeypatch.setattr(module, "WORD_CHARS", 10)
    rows = [(f"{i:032x}", "train", "s", "en", "a b c", [1]) for i in range(5000)]
    counts = add(TokenStatistics(KINDS), rows).total()
    assert counts.words == 3 * counts.word_tokens
    # 2 documents of 5 characters, then 1 of 100: 50 expected, 15 is five standard deviations below.
    assert 15 < counts.word_tokens - 2 < 90


def test_the_words_of_a_very_long_document_are_extrapolated(monkeypatch):
    monkeypatch.setattr(module, "MAX_WORD_CHARS", 10)
    counts = add(TokenStatistics(KINDS), [("d", "train", "s", "en", "ab cd " * 10, [1] * 7)]).total()
    assert counts.words == round(4 * 60 / 10)  # `ab cd ab c` has four words
    assert counts.word_tokens == 7


def test_one_sample_is_kept_per_source_and_language():
    rows = [(f"d{i}", "train", "web", "en" if i % 2 else "zh", f"text {i}", [1]) for i in range(20)]
    found = add(TokenStatistics(KINDS), rows).samples
    assert set(found) == {("web", "en"), ("web", "zh")}
    backwards = add(TokenStatistics(KINDS), rows[::-1]).samples
    assert found == backwards


def test_samples_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_SAMPLES", 3)
    rows = [(f"d{i}", "train", f"source {i}", "en", "text", [1]) for i in range(20)]
    found, other = add(TokenStatistics(KINDS), rows[:9]), add(TokenStatistics(KINDS), rows[9:])
    found.merge(other)
    assert len(found.samples) == 3
    assert found.samples == add(TokenStatistics(KINDS), rows).samples
