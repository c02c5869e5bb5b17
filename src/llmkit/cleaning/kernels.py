"""Loops over code points and hashes, compiled: what makes a document cost microseconds instead of milliseconds."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llmkit.cleaning.characters import (
    DIGIT,
    INVISIBLE,
    LETTER,
    MARK,
    SCRIPT_SHIFT,
    SPACE,
    TERMINAL,
    UNSPACED,
    UPPER,
    WORD,
)
from llmkit.data.kernel import kernel as compiled

kernel: Callable[[Callable[..., Any]], Callable[..., Any]] = compiled
"""The decorator with a type that lets typed code call what it decorates."""

_SEED = np.uint64(0x9E3779B97F4A7C15)
_PRIME = np.uint64(0x100000001B3)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_GRAM = np.uint64(0x9FB21C651E98DF25)
_NEWLINE, _STOP, _COMMA, _APOSTROPHE, _HYPHEN, _UNDERSCORE = 10, 46, 44, 39, 45, 95
_EXCLAMATION, _QUESTION, _RIGHT_QUOTE, _ELLIPSIS = 33, 63, 0x2019, 0x2026


@kernel
def mix(value):
    """Spread a 64-bit value over all its bits (the finalizer of SplitMix64, Steele et al. 2014)."""
    value = np.uint64(value)
    value = (value ^ (value >> np.uint64(30))) * _MIX1
    value = (value ^ (value >> np.uint64(27))) * _MIX2
    return value ^ (value >> np.uint64(31))


def _unmixed(word):
    value = int(_SEED)
    for char in word:
        value = (value ^ ord(char)) * int(_PRIME) % 2**64
    return value


_TITLES = np.array([_unmixed(word) for word in ("mr", "mrs", "ms", "dr", "st", "prof", "gen", "jr", "sr")], np.uint64)


@kernel
def _is_title(value):
    found = False
    for i in range(_TITLES.shape[0]):
        found |= _TITLES[i] == value
    return found


@kernel
def _glue(starts, ends, kinds, count, start):
    """Return how many tokens there are once `;--` of `said;--and` belongs to the word before it; 0 if it does not."""
    left = count
    while left and kinds[left - 1] == 0 and ends[left - 1] == start:
        left -= 1
        start = starts[left]
    return left if left < count and left and kinds[left - 1] == 1 and ends[left - 1] == start else 0


@kernel
def scan_tokens(  # noqa: C901, PLR0912, PLR0915 - one pass over the text
    codes, info, folded, starts, ends, hashes, kinds, totals, scripts
):
    """Fill the arrays of `Tokens`, the fields of `Totals` and the characters per script; return the number of tokens.

    A word keeps a point or comma between digits (1,000.5) and the points of single letters and titles (U.S., Mr.);
    an apostrophe between letters begins the next word (don|'t), as treebank tokenizers cut it. Symbols that repeat are
    one token (`...`, `-----`); marks belong to the token before them.
    """
    size, count, i = codes.shape[0], 0, 0
    while i < size:
        code = codes[i]
        what = info[code]
        if what & SPACE:
            totals[3] += 1
            totals[4] += code == _NEWLINE
            i += 1
            continue
        start, lettered, value = i, 0, _SEED
        if what & WORD and code != _UNDERSCORE:
            kind, run, dotted = 1, 0, False
            while True:
                value = (value ^ np.uint64(folded[code])) * _PRIME
                scripts[what >> SCRIPT_SHIFT] += 1
                letter = (what & LETTER) != 0
                digit = (what & DIGIT) != 0
                lettered |= letter
                run = run + 1 if letter else 0
                totals[0] += letter
                totals[1] += digit
                upper = (what & UPPER) != 0
                totals[2] += upper
                i += 1
                if i >= size:
                    break
                before, code = digit, codes[i]
                what = info[code]
                if code == _UNDERSCORE:  # foo_bar is a word; in _foo_ and __init__ they are symbols around one
                    after = i
                    while after < size and codes[after] == _UNDERSCORE:
                        after += 1
                    if after >= size or not info[codes[after]] & WORD:
                        break
                if what & (WORD | MARK):
                    continue
                if code in (_STOP, _COMMA):
                    following = info[codes[i + 1]] if i + 1 < size else info[_NEWLINE]
                    if before and following & DIGIT:
                        continue
                    inner = code == _STOP and run == 1 and following & LETTER and not following & UNSPACED
                    if inner and (i + 2 >= size or not info[codes[i + 2]] & LETTER):
                        dotted = True
                        continue
                    # The last point of U.S., of an initial and of Mr. belongs to the token, but not to its hash.
                    last = (dotted and run == 1) or (upper and i - start == 1) or _is_title(value)
                    if code == _STOP and last and (i + 1 >= size or codes[i + 1] != _STOP):
                        scripts[0] += 1
                        i += 1
                break
        elif what & UNSPACED:
            kind, lettered = 2, (what & LETTER) != 0
            value = (value ^ np.uint64(code)) * _PRIME
            scripts[what >> SCRIPT_SHIFT] += 1
            totals[0] += lettered
            i += 1
            while i < size and info[codes[i]] & MARK:
                value = (value ^ np.uint64(codes[i])) * _PRIME
                scripts[info[codes[i]] >> SCRIPT_SHIFT] += 1
                i += 1
        else:
            kind = 0
            clitic = (
                code in (_APOSTROPHE, _RIGHT_QUOTE)
                and 0 < i < size - 1
                and info[codes[i - 1]] & LETTER
                and info[codes[i + 1]] & LETTER
                and not info[codes[i + 1]] & UNSPACED
            )
            scripts[0] += 1
            totals[5] += (what & INVISIBLE) != 0
            value = (value ^ np.uint64(code)) * _PRIME
            i += 1
            if clitic:
                kind, lettered = 1, 1
                while i < size and info[codes[i]] & (WORD | MARK):
                    what = info[codes[i]]
                    value = (value ^ np.uint64(folded[codes[i]])) * _PRIME
                    scripts[what >> SCRIPT_SHIFT] += 1
                    totals[0] += (what & LETTER) != 0
                    totals[1] += (what & DIGIT) != 0
                    totals[2] += (what & UPPER) != 0
                    i += 1
            else:
                again = code not in (_EXCLAMATION, _QUESTION)
                while i < size and ((again and codes[i] == code) or info[codes[i]] & MARK):
                    what = info[codes[i]]
                    scripts[what >> SCRIPT_SHIFT] += 1
                    totals[5] += (what & INVISIBLE) != 0
                    value = (value ^ np.uint64(codes[i])) * _PRIME
                    i += 1
                dash = code == _HYPHEN and i - start > 1 and codes[start + 1] == code
                left = _glue(starts, ends, kinds, count, start) if dash else 0
                if left:
                    count = left
                    totals[7] += i - ends[count - 1]
                    ends[count - 1] = i
                    continue
        if kind:
            totals[6] += 1
            totals[7] += i - start
            totals[8] += lettered
            totals[9] += kind == 2
        starts[count], ends[count], kinds[count] = start, i, kind
        hashes[count] = mix(value)
        count += 1
    scripts[0] += totals[3]
    return count


@kernel
def scan_spans(codes, info, newlines, starts, ends, hashes):
    """Fill the arrays of `Spans`, cut where `newlines` line feeds stand with but blanks between; return the number."""
    size, count, i = codes.shape[0], 0, 0
    while i < size:
        while i < size and info[codes[i]] & SPACE:
            i += 1
        if i >= size:
            break
        start = end = i
        value, pending, feeds = _SEED, _SEED, 0
        while i < size:
            code = codes[i]
            if info[code] & SPACE:
                feeds += code == _NEWLINE
                if feeds >= newlines:
                    break
                pending = (pending ^ np.uint64(code)) * _PRIME
            else:
                # `pending` is `value` with the whitespace since then, which turns out to lie inside the span.
                value = pending = (pending ^ np.uint64(code)) * _PRIME
                end, feeds = i + 1, 0
            i += 1
        starts[count], ends[count], hashes[count] = start, end, mix(value)
        count += 1
    return count


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
def cased_hashes(codes, info, starts, hashes):
    """Return the hashes of tokens with those that begin with a capital letter told apart: they are hashed folded."""
    cased = hashes.copy()
    for i in range(hashes.shape[0]):
        if info[codes[starts[i]]] & UPPER:
            cased[i] = mix(hashes[i])
    return cased


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
def top_gram_chars(hashes, starts, ends, kinds, order):
    """Return the characters that the most frequent n-gram covers; 0 without n-grams.

    One space counts between two tokens, as in datatrove, but none beside a character of an unspaced script. Of
    equally frequent ones the first counts, as in datatrove.
    """
    grams = gram_hashes(hashes, order)
    mask = np.uint64(slots(grams.shape[0]) - 1)
    table = np.zeros(mask + np.uint64(1), np.uint64)
    firsts = np.empty(mask + np.uint64(1), np.int32)
    counts = np.zeros(grams.shape[0], np.int32)
    for i in range(grams.shape[0]):
        value = grams[i] | np.uint64(1)
        slot = value >> np.uint64(1) & mask
        while table[slot] != 0 and table[slot] != value:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] == 0:
            table[slot] = value
            firsts[slot] = i
        counts[firsts[slot]] += 1
    best = 0
    for i in range(grams.shape[0]):
        if counts[i] > counts[best]:
            best = i
    if grams.shape[0] == 0:
        return 0
    chars = 0
    for i in range(best, best + order):
        chars += ends[i] - starts[i]
        chars += i > best and kinds[i] != 2 and kinds[i - 1] != 2
    return chars * counts[best]


@kernel
def duplicate_gram_chars(hashes, starts, ends, order):
    """Return the characters in n-grams that stood earlier in the text, none counted twice; spaces are not counted."""
    grams = gram_hashes(hashes, order)
    mask = np.uint64(slots(grams.shape[0]) - 1)
    table = np.zeros(mask + np.uint64(1), np.uint64)
    chars, i = 0, 0
    while i < grams.shape[0]:
        value = grams[i] | np.uint64(1)
        slot = value >> np.uint64(1) & mask
        while table[slot] != 0 and table[slot] != value:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] == value:
            for k in range(i, i + order):
                chars += ends[k] - starts[k]
            i += order
        else:
            table[slot] = value
            i += 1
    return chars


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
def line_ends(codes, info, starts, ends):
    """Return how many lines end a sentence, begin with a bullet or a dash, and end with an ellipsis."""
    terminal, bullets, ellipses = 0, 0, 0
    for i in range(starts.shape[0]):
        first, end = codes[starts[i]], ends[i]
        last = codes[end - 1]
        bullets += first in (45, 0x2022)
        terminal += (info[last] & TERMINAL) != 0 and last != _ELLIPSIS
        ellipses += last == _ELLIPSIS or (
            end - starts[i] > 2 and last == _STOP and codes[end - 2] == _STOP and codes[end - 3] == _STOP
        )
    return terminal, bullets, ellipses


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
