"""The compiled loops against plain Python that does the same."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.cleaning import kernels
from llmkit.cleaning.steps import _loops

WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "中"]), max_size=60)
ORDERS = st.integers(1, 10)


def arrays(words: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes, starts and ends of words with one space between."""
    hashes = np.array([kernels.mix(sum(map(ord, word)) + 2**40 * len(word)) for word in words], np.uint64)
    lengths = np.array([len(word) for word in words], np.int32)
    ends = np.cumsum(lengths + 1, dtype=np.int32) - np.int32(1)
    return hashes, ends - lengths, ends


def everywhere(words: list[str]) -> np.ndarray:
    """Nothing is known of shorter n-grams."""
    return np.ones(len(words) + 1, bool)


def grams(words: list[str], order: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + order]) for i in range(len(words) - order + 1)]


@settings(deadline=None)  # the first call compiles
@given(WORDS, ORDERS)
def test_equal_ngrams_have_equal_hashes_and_others_do_not(words: list[str], order: int) -> None:
    hashes = kernels.gram_hashes(arrays(words)[0], order).tolist()
    expected = grams(words, order)
    assert len(hashes) == len(expected)
    assert len(set(hashes)) == len(set(expected))
    assert len(set(zip(hashes, expected, strict=True))) == len(set(expected))


@settings(deadline=None)  # the first call compiles
@given(WORDS)
def test_duplicates_are_counted_with_their_lengths(words: list[str]) -> None:
    hashes, starts, ends = arrays(words)
    seen: set[str] = set()
    copies = [word for word in words if word in seen or seen.add(word)]  # type: ignore[func-returns-value]
    assert kernels.duplicates(hashes, ends - starts) == (len(copies), sum(map(len, copies)))


@settings(deadline=None)  # the first call compiles
@given(WORDS, ORDERS)
def test_characters_of_the_most_frequent_ngram(words: list[str], order: int) -> None:
    hashes, starts, ends = arrays(words)
    kinds = np.array([2 if word == "中" else 1 for word in words], np.uint8)
    expected = 0
    if found := grams(words, order):
        gram, number = Counter(found).most_common(1)[0]  # of equally frequent ones the first
        spaces = sum("中" not in pair for pair in itertools.pairwise(gram))
        expected = number * (sum(map(len, gram)) + spaces)
    assert kernels.top_gram_chars(hashes, starts, ends, kinds, order, everywhere(words)) == expected


@settings(deadline=None)  # the first call compiles
@given(WORDS, ORDERS)
def test_characters_in_repeated_ngrams_are_counted_once(words: list[str], order: int) -> None:
    hashes, starts, ends = arrays(words)
    seen, chars, i = set(), 0, 0
    while i + order <= len(words):
        gram = tuple(words[i : i + order])
        if gram in seen:
            chars += sum(map(len, gram))
            i += order
        else:
            seen.add(gram)
            i += 1
    assert kernels.duplicate_gram_chars(hashes, starts, ends, order, everywhere(words)) == chars


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.sampled_from(["a", "bb", "ccc", "中", "dd", "e"]), max_size=100))
def test_all_orders_together_are_those_one_by_one(words: list[str]) -> None:
    hashes, starts, ends = arrays(words)
    kinds = np.array([2 if word == "中" else 1 for word in words], np.uint8)
    tops = [kernels.top_gram_chars(hashes, starts, ends, kinds, n, everywhere(words)) for n in range(2, 5)]
    copies = [kernels.duplicate_gram_chars(hashes, starts, ends, n, everywhere(words)) for n in range(5, 11)]
    assert kernels.repetition(hashes, starts, ends, kinds).tolist() == [*tops, *copies]


@settings(deadline=None)  # the first call compiles
@given(WORDS, st.integers(1, 6))
def test_minhash_is_the_least_permuted_shingle(words: list[str], order: int) -> None:
    hashes = arrays(words)[0]
    multipliers = np.array([3, 0x9E3779B97F4A7C15, 2**63 + 1], np.uint64)
    offsets = np.array([5, 7, 2**62], np.uint64)
    signature = np.empty(3, np.uint32)
    number = kernels.minhash(hashes, order, multipliers, offsets, signature)
    shingles = kernels.gram_hashes(hashes, min(order, len(words)) or 1).tolist()
    assert number == len(shingles)
    expected = [
        min(((a * shingle + b) % 2**64 >> 32 for shingle in shingles), default=2**32 - 1)
        for a, b in zip(multipliers.tolist(), offsets.tolist(), strict=True)
    ]
    assert signature.tolist() == expected


@settings(deadline=None)  # the first call compiles
@given(WORDS, st.lists(st.sampled_from(["a", "ccc", "中", "x", "yy"]), unique=True), st.integers(0, 5))
def test_distinct_members_stop_at_enough(words: list[str], wanted: list[str], enough: int) -> None:
    members = np.sort(arrays(wanted)[0])
    found = kernels.distinct_members(arrays(words)[0], members, enough)
    assert found == min(len(set(words) & set(wanted)), enough)


@settings(deadline=None)  # the first call compiles
@given(WORDS, st.lists(st.lists(st.sampled_from(["a", "bb", "ccc", "zz"]), min_size=1, max_size=3), max_size=6))
def test_phrases_are_found_where_they_begin(words: list[str], phrases: list[list[str]]) -> None:
    compiled = sorted((arrays(phrase)[0] for phrase in phrases), key=lambda hashes: int(hashes[0]))
    firsts = np.array([hashes[0] for hashes in compiled], np.uint64)
    flat = np.concatenate([*compiled, np.empty(0, np.uint64)])
    offsets = np.cumsum([0, *map(len, compiled)])
    hits = np.empty(len(words), np.int64)
    count = _loops.find_phrases(arrays(words)[0], firsts, flat, offsets, hits)
    expected = [i for i in range(len(words)) if any(words[i : i + len(p)] == p for p in phrases)]
    assert hits[:count].tolist() == expected


def test_runs_keep_only_long_runs() -> None:
    mask = np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)
    assert _loops.runs(mask, 3).tolist() == [False, False, False, True, True, True, False, False]
    assert _loops.runs(mask, 1).tolist() == mask.tolist()
    assert _loops.runs(mask[:0], 1).tolist() == []
