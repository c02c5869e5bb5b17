"""Loops over the hashes of words and lines, compiled: n-grams, copies, MinHash."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llmkit.work.kernel import kernel as compiled

kernel: Callable[[Callable[..., Any]], Callable[..., Any]] = compiled
"""The decorator with a type that lets typed code call what it decorates."""

_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_GRAM = np.uint64(0x9FB21C651E98DF25)


@kernel
def mix(value):
    """Spread a 64-bit value over all its bits (the finalizer of SplitMix64, Steele et al. 2014)."""
    value = np.uint64(value)
    value = (value ^ (value >> np.uint64(30))) * _MIX1
    value = (value ^ (value >> np.uint64(27))) * _MIX2
    return value ^ (value >> np.uint64(31))


@kernel
def gram_hashes(hashes, order):
    """Return the `[len(hashes) - order + 1]` hashes of all runs of `order` hashes; empty if there are too few."""
    size = hashes.shape[0] - order + 1
    grams = np.empty(max(size, 0), np.uint64)
    if size <= 0:
        return grams
    top = np.uint64(1)
    value = np.uint64(0)
    for i in range(order):
        value = value * _GRAM + hashes[i]
        if i:
            top = top * _GRAM
    grams[0] = mix(value)
    for i in range(1, size):
        value = (value - hashes[i - 1] * top) * _GRAM + hashes[i + order - 1]
        grams[i] = mix(value)
    return grams


@kernel
def slots(size):
    """Return the size of a hash table for `size` entries: a power of 2, at most half full."""
    capacity = 16
    while capacity < 2 * size:
        capacity *= 2
    return capacity


@kernel
def duplicates(hashes, lengths):
    """Return how many elements are copies of an earlier one, and the sum of their lengths."""
    mask = np.uint64(slots(hashes.shape[0]) - 1)
    table = np.zeros(mask + np.uint64(1), np.uint64)
    copies, chars = 0, 0
    for i in range(hashes.shape[0]):
        value = hashes[i] | np.uint64(1)  # 0 marks an empty slot
        slot = value >> np.uint64(1) & mask
        while table[slot] != 0 and table[slot] != value:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] == value:
            copies += 1
            chars += lengths[i]
        else:
            table[slot] = value
    return copies, chars


@kernel
def _candidates(repeated, order, size):
    """Return the places whose n-gram may stand elsewhere too: those of the shorter n-grams within it do."""
    places = np.empty(max(size - order + 1, 0), np.int32)
    count = 0
    for i in range(places.shape[0]):
        places[count] = i
        count += repeated[i] and repeated[i + 1]
    return places[:count]


@kernel
def _gram(hashes, start, order):
    value = np.uint64(0)
    for i in range(start, start + order):
        value = value * _GRAM + hashes[i]
    return mix(value)


@kernel
def top_gram_chars(hashes, starts, ends, kinds, order, repeated):
    """Return the characters that the most frequent n-gram covers; 0 without n-grams.

    One space counts between two tokens, as in datatrove, but none beside a character of an unspaced script. Of
    equally frequent ones the first counts, as in datatrove.

    `repeated` is `[tokens + 1]` bool: where it is False, no n-gram of a lower order begins that occurs twice. Those of
    this order are left in it.
    """
    size = hashes.shape[0]
    if size < order:
        return 0
    places = _candidates(repeated, order, size)
    mask = np.uint64(slots(places.shape[0]) - 1)
    table = np.zeros(mask + np.uint64(1), np.uint64)
    firsts = np.empty(mask + np.uint64(1), np.int32)
    heads = np.empty(places.shape[0], np.int32)
    counts = np.zeros(places.shape[0], np.int32)
    best, most = 0, 1
    for k in range(places.shape[0]):
        value = _gram(hashes, places[k], order) | np.uint64(1)
        slot = value >> np.uint64(1) & mask
        while table[slot] != 0 and table[slot] != value:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] == 0:
            table[slot] = value
            firsts[slot] = k
        heads[k] = firsts[slot]
        counts[heads[k]] += 1
    repeated[:] = False
    for k in range(places.shape[0]):
        repeated[places[k]] = counts[heads[k]] > 1
        if counts[k] > most:
            best, most = places[k], counts[k]
    chars = 0
    for i in range(best, best + order):
        chars += ends[i] - starts[i]
        chars += i > best and kinds[i] != 2 and kinds[i - 1] != 2
    return chars * most


@kernel
def duplicate_gram_chars(hashes, starts, ends, order, repeated):
    """Return the characters in n-grams that stood earlier in the text, none counted twice; spaces are not counted.

    `repeated` is as in `top_gram_chars`, and stays.
    """
    places = _candidates(repeated, order, hashes.shape[0])
    mask = np.uint64(slots(places.shape[0]) - 1)
    table = np.zeros(mask + np.uint64(1), np.uint64)
    chars, behind = 0, 0
    for k in range(places.shape[0]):
        i = places[k]
        if i < behind:
            continue
        value = _gram(hashes, i, order) | np.uint64(1)
        slot = value >> np.uint64(1) & mask
        while table[slot] != 0 and table[slot] != value:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] == value:
            behind = i + order
            for j in range(i, behind):
                chars += ends[j] - starts[j]
        else:
            table[slot] = value
    return chars


@kernel
def repetition(hashes, starts, ends, kinds):
    """Return `top_gram_chars` of 2, 3 and 4 tokens, then `duplicate_gram_chars` of 5 to 10, `[9]` int64.

    Few n-grams of two tokens occur twice, hardly one of four, and no longer one does where a shorter does not: only
    the first order looks at every place.
    """
    found = np.zeros(9, np.int64)
    repeated = np.ones(hashes.shape[0] + 1, np.bool_)
    for order in range(2, 5):
        found[order - 2] = top_gram_chars(hashes, starts, ends, kinds, order, repeated)
    for order in range(5, 11):
        found[order - 2] = duplicate_gram_chars(hashes, starts, ends, order, repeated)
        if found[order - 2] == 0:
            break
    return found


@kernel
def minhash(hashes, order, multipliers, offsets, signature):
    """Fill a MinHash signature over shingles of `order` words; return the number of shingles.

    A value is the least of `(a * shingle + b) mod 2^64 >> 32` over the shingles, a multiply-shift permutation
    (Dietzfelbinger et al. 1997). A text of fewer words is one shingle of all its words; an empty one leaves
    `signature` at its largest value.
    """
    size = hashes.shape[0]
    shingles = gram_hashes(hashes, min(order, size)) if size else hashes
    least = np.full(multipliers.shape[0], np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64)
    for i in range(shingles.shape[0]):
        shingle = shingles[i]
        for k in range(multipliers.shape[0]):
            value = multipliers[k] * shingle + offsets[k]
            if value < least[k]:  # noqa: PLR1730 - a store only where it is needed
                least[k] = value
    for k in range(multipliers.shape[0]):
        signature[k] = np.uint32(least[k] >> np.uint64(32))
    return shingles.shape[0]


@kernel
def band_keys(signatures, bands):
    """Return `[documents, bands]` keys: a hash of each band of the `[documents, bands * rows]` signatures."""
    rows = signatures.shape[1] // bands
    keys = np.empty((signatures.shape[0], bands), np.uint64)
    for i in range(signatures.shape[0]):
        for band in range(bands):
            value = mix(np.uint64(band + 1))
            for k in range(band * rows, (band + 1) * rows):
                value = mix(value ^ np.uint64(signatures[i, k]))
            keys[i, band] = value
    return keys


@kernel
def distinct_members(hashes, wanted, enough):
    """Return how many of `wanted` (sorted, distinct) occur in `hashes`; stops counting at `enough`."""
    seen = np.zeros(wanted.shape[0], np.uint8)
    found = 0
    for i in range(hashes.shape[0]):
        if found >= enough:
            break
        at = np.searchsorted(wanted, hashes[i])
        if at < wanted.shape[0] and wanted[at] == hashes[i] and not seen[at]:
            seen[at] = 1
            found += 1
    return found


@kernel
def members_reach(hashes, wanted, enough):
    """Return how many of `hashes` are among `wanted`; stops counting at `enough`."""
    mask = np.uint64(slots(4 * wanted.shape[0]) - 1)
    table = np.zeros(mask + np.uint64(1), np.uint64)
    for k in range(wanted.shape[0]):
        slot = wanted[k] & mask
        while table[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = wanted[k]
    found = 0
    for i in range(hashes.shape[0]):
        slot = hashes[i] & mask
        while table[slot] != 0 and table[slot] != hashes[i]:
            slot = (slot + np.uint64(1)) & mask
        found += table[slot] != 0
        if found >= enough:
            break
    return found
