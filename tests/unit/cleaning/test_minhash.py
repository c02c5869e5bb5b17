from __future__ import annotations

import random

import numpy as np
import pytest

from llmkit.cleaning import kernels
from llmkit.cleaning.features import Features
from llmkit.cleaning.minhash import permutations

SIZE = 112


def signature(words, order=5, seed=0, size=SIZE):
    found = np.empty(size, np.uint32)
    count = kernels.minhash(np.asarray(words, np.uint64), order, *permutations(size, seed), found)
    return found, count


def shingles(words, order=5):
    """The set of shingles, each as bytes: what the signature stands for."""
    return {np.asarray(words[i : i + order], np.uint64).tobytes() for i in range(max(len(words) - order + 1, 1))}


def jaccard(a, b):
    return len(a & b) / len(a | b)


def pair(rng, length, changed):
    """Two lists of word hashes; in the second some words are others."""
    first = [rng.getrandbits(64) for _ in range(length)]
    second = list(first)
    for place in rng.sample(range(length), changed):
        second[place] = rng.getrandbits(64)
    return first, second


def test_a_signature_computed_by_hand():
    words = np.array([3, 5, 7, 11], np.uint64)
    grams = [int(gram) for gram in kernels.gram_hashes(words, 3)]
    multipliers, offsets = permutations(4, 9)
    expected = [
        min((int(a) * gram + int(b)) % 2**64 for gram in grams) >> 32 for a, b in zip(multipliers, offsets, strict=True)
    ]
    assert signature(words, 3, seed=9, size=4)[0].tolist() == expected
    assert len(grams) == 2


def test_permutations_are_odd_distinct_and_depend_on_the_seed():
    multipliers, offsets = permutations(SIZE, 0)
    assert all(multipliers % np.uint64(2) == 1)
    assert len({*multipliers.tolist(), *offsets.tolist()}) == 2 * SIZE
    assert permutations(SIZE, 1)[0].tolist() != multipliers.tolist()
    # The same on every machine and in every version: signatures of two runs can be compared.
    assert [f"{int(value):016x}" for value in multipliers[:2]] == FIRST_MULTIPLIERS


FIRST_MULTIPLIERS = ["5692161d100b05e5", "dbd238973a2b148b"]


@pytest.mark.parametrize("changed", [1, 4, 10, 25])
def test_the_estimate_has_no_bias_and_the_deviation_of_a_binomial(changed):
    rng = random.Random(changed)
    errors, variances = [], []
    for _ in range(300):
        a, b = pair(rng, 200, changed)
        exact = jaccard(shingles(a), shingles(b))
        errors.append(float((signature(a)[0] == signature(b)[0]).mean()) - exact)
        variances.append(exact * (1 - exact) / SIZE)
    deviation = np.sqrt(np.mean(variances))
    assert abs(np.mean(errors)) < 4 * deviation / np.sqrt(len(errors))
    assert 0.85 * deviation < np.std(errors) < 1.15 * deviation  # 300 values: 4 % standard error


def test_datasketch_estimates_the_same():
    from datasketch import MinHash

    rng = random.Random(5)
    differences = []
    for changed in range(0, 60, 3):
        a, b = pair(rng, 150, changed)
        theirs = []
        for words in (a, b):
            theirs.append(MinHash(num_perm=SIZE))
            theirs[-1].update_batch(list(shingles(words)))
        exact = jaccard(shingles(a), shingles(b))
        ours = float((signature(a)[0] == signature(b)[0]).mean())
        # Both are binomial estimates of one number: their difference has twice the variance.
        differences.append((ours - theirs[0].jaccard(theirs[1])) / max(np.sqrt(2 * exact * (1 - exact) / SIZE), 1e-9))
    assert max(map(abs, differences)) < 4
    assert abs(np.mean(differences)) < 4 / np.sqrt(len(differences))


def test_a_text_shorter_than_a_shingle_is_one_shingle():
    a, count = signature([1, 2, 3])
    assert count == 1
    assert (a == signature([1, 2, 3])[0]).all()
    assert (a == signature([1, 2, 4])[0]).mean() < 0.1


def test_a_text_without_words_has_no_shingle():
    found, count = signature([])
    assert count == 0
    assert (found == 2**32 - 1).all()


def test_bands_are_equal_where_their_values_are():
    signatures = np.arange(2 * SIZE, dtype=np.uint32).reshape(2, SIZE)
    signatures[1] = signatures[0]
    signatures[1, 8 * 3 + 2] += 1  # the fourth band of 14
    keys = kernels.band_keys(signatures, 14)
    assert (keys[0] == keys[1]).tolist() == [band != 3 for band in range(14)]
    # Equal values in two bands are two keys: else a document of one band would meet one of another.
    assert len(set(kernels.band_keys(np.zeros((1, SIZE), np.uint32), 14)[0].tolist())) == 14


def test_chinese_is_shingled_by_characters():
    a = Features("今天天气很好，我们一起去公园看花吧。").word_hashes
    b = Features("今天天气很好 我们一起去公园看树吧").word_hashes
    assert len(a) == len(b) == 16
    # 12 shingles each; the one other character, second from the end, is in the last two.
    assert jaccard(shingles(a), shingles(b)) == 10 / 14
