from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.features import features
from llmkit.cleaning.measures import MEASURES, NUM_BINS, Histograms, measure
from llmkit.data.corpus import Document

NAMES = [item.name for item in MEASURES]


def measured(text):
    return dict(zip(NAMES, measure(features(Document("0" * 32, text, "s"))), strict=True))


def test_english():
    found = measured("The cat, 42.\nThe cat, 42.")
    assert found["characters"] == 25
    assert found["words"] == 6  # The cat 42, twice
    assert found["characters per word"] == pytest.approx(16 / 6)
    assert found["share of letters"] == pytest.approx(12 / 25)
    assert found["share of digits"] == pytest.approx(4 / 25)
    assert found["share of symbols"] == pytest.approx(4 / 25)
    assert found["share of whitespace"] == pytest.approx(5 / 25)
    assert found["share in repeated lines"] == pytest.approx(12 / 25)


def test_chinese_counts_characters_as_words():
    found = measured("春天来了，花开了。")
    assert (found["characters"], found["words"], found["characters per word"]) == (9, 7, 1)
    assert found["share of symbols"] == pytest.approx(2 / 9)


def test_an_empty_text_measures_nothing():
    assert set(measured("").values()) == {0.0}


def test_edges_of_bins():
    chars = MEASURES[NAMES.index("characters")]
    letters = MEASURES[NAMES.index("share of letters")]
    assert (chars.edge(0), chars.edge(2), chars.edge(NUM_BINS)) == (1, 2, 2**20)
    assert (letters.edge(0), letters.edge(10), letters.edge(NUM_BINS)) == (0, 0.25, 1)


def rows(*chars):
    return [(float(c), 1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0) for c in chars]


def test_mean_and_quantiles():
    histograms = Histograms()
    for row in rows(4, 4, 4, 1000, 2000):
        histograms.add(row)
    assert histograms.mean(0) == pytest.approx(602.4)
    assert histograms.quantile(0, 0.5) == 4
    assert histograms.quantile(0, 0.8) == 1000
    assert histograms.quantile(0, 1.0) == 2000
    assert histograms.quantile(4, 0.5) == 0  # not the middle of the bin: there are no digits at all
    assert (Histograms().mean(0), Histograms().quantile(0, 0.5)) == (0, 0)


def test_values_beyond_the_edges_count_in_the_outermost_bins():
    histograms = Histograms()
    for row in rows(0, 1, 2**30):
        histograms.add(row)
    histograms.settle()
    assert (histograms.bins[0][0], histograms.bins[0][-1], histograms.bins[0].sum()) == (2, 1, 3)
    assert histograms.sums[0].sum() == 1 + 2**30


@given(st.lists(st.integers(0, 2**21), max_size=30), st.integers(0, 30))
def test_merging_parts_gives_the_whole(chars, cut):
    whole, first, second = Histograms(), Histograms(), Histograms()
    for i, row in enumerate(rows(*chars)):
        whole.add(row)
        (first if i < cut else second).add(row)
    first.merge(second)
    whole.settle()
    assert first.count == whole.count == len(chars)
    assert np.array_equal(first.bins, whole.bins)
    assert np.allclose(first.sums, whole.sums)
