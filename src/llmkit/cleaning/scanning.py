"""Loops over code points, compiled: words within the tokens of token_scanning.py, lines, and paragraphs."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

import numpy as np

from llmkit.cleaning.kernels import kernel, mix, slots
from llmkit.cleaning.token_scanning import PRIME, SEED
from llmkit.text.characters import (
    LETTER,
    SPACE,
    TERMINAL,
    UPPER,
)

_NEWLINE, _STOP = 10, 46
_COLON, _SLASH, _W = 58, 47, 119
_ELLIPSIS = 0x2026


@kernel
def _has_letter(codes, info, start, end):
    at = start
    while at < end and not info[codes[at]] & LETTER:
        at += 1
    return at < end


@kernel
def split_words(codes, info, tokens_starts, tokens_ends, hashes, kinds):
    """Return starts, ends, cased hashes, kinds and hashes of the tokens that are no symbols, and counts as in `Words`.

    Tokens that touch are one word between blanks; a character of an unspaced script is one of its own, and marks belong
    to the word that they touch. Addresses are words that hold `://` or begin with `www.`.
    """
    size = tokens_starts.shape[0]
    starts, ends, sorts = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.uint8)
    cased, folded = np.empty(size, np.uint64), np.empty(size, np.uint64)
    words, chars, lettered, marks, addresses, address_chars = 0, 0, 0, 0, 0, 0
    count, i = 0, 0
    while i < size:
        start, first, found, word, letter, address = tokens_starts[i], tokens_starts[i], 0, False, False, False
        while True:
            at, end, kind = tokens_starts[i], tokens_ends[i], kinds[i]
            if kind:
                starts[count], ends[count], sorts[count] = at, end, kind
                what = info[codes[at]]
                folded[count] = hashes[i]
                cased[count] = mix(hashes[i]) if what & UPPER else hashes[i]
                count += 1
                has_letter = what & LETTER != 0 or _has_letter(codes, info, at, end)
                if kind == 2:
                    found += 1 + word
                    lettered += has_letter + letter
                    word, letter, first = False, False, end
                else:
                    word = True
                    letter |= has_letter
            elif codes[at] == _COLON:
                address |= end + 1 < codes.shape[0] and codes[end] == codes[end + 1] == _SLASH
            elif codes[at] == _STOP:
                address |= at == first + 3 and codes[first] == codes[first + 1] == codes[first + 2] == _W
            i += 1
            if i == size or tokens_starts[i] != end:
                break
        found += word
        lettered += letter
        words += found
        marks += found == 0
        if found:
            chars += end - start
            addresses += address
            address_chars += end - first if address else 0
    counts = (words, chars, lettered, marks, addresses, address_chars)
    return starts[:count], ends[:count], cased[:count], sorts[:count], folded[:count], counts


@kernel
def scan_lines(codes, info, starts, ends, hashes):
    """Fill the arrays of `Spans` with the lines that hold more than whitespace; return the number."""
    size, count, i = codes.shape[0], 0, 0
    while i < size:
        while i < size and info[codes[i]] & SPACE:
            i += 1
        if i >= size:
            break
        start = end = i
        value = pending = SEED
        while i < size:
            code = codes[i]
            if info[code] & SPACE:
                if code == _NEWLINE:
                    break
                pending = (pending ^ np.uint64(code)) * PRIME
            else:
                # `pending` is `value` with the whitespace since then, which turns out to lie inside the span.
                value = pending = (pending ^ np.uint64(code)) * PRIME
                end = i + 1
            i += 1
        starts[count], ends[count], hashes[count] = start, end, mix(value)
        count += 1
    return count


@kernel
def join_lines(codes, starts, ends, hashes):
    """Return starts, ends and hashes of paragraphs: lines without a blank one between; the blanks between count."""
    size = starts.shape[0]
    firsts, lasts, values = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.uint64)
    count = 0
    for i in range(size):
        feeds, value = 2, SEED
        if i > 0:
            feeds, value = 0, values[count - 1]
            for at in range(ends[i - 1], starts[i]):
                feeds += codes[at] == _NEWLINE
                value = (value ^ np.uint64(codes[at])) * PRIME
        if feeds > 1:
            firsts[count], values[count] = starts[i], hashes[i]
            count += 1
        else:
            values[count - 1] = mix(value ^ hashes[i])
        lasts[count - 1] = ends[i]
    return firsts[:count], lasts[:count], values[:count]


@kernel
def cased_hashes(codes, info, starts, hashes):
    """Return the hashes of tokens with those that begin with a capital letter told apart: they are hashed folded."""
    cased = hashes.copy()
    for i in range(hashes.shape[0]):
        if info[codes[starts[i]]] & UPPER:
            cased[i] = mix(hashes[i])
    return cased


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
def profile_units(codes, info, starts, ends, closed, worded, hashes, short):
    """Return sentence ends, breaks elsewhere, short entries with their characters, characters in copies of long lines.

    A line that trails off in an ellipsis ends no sentence. An entry is a line of at most `short` characters that ends
    in no punctuation mark; copies count among longer lines with words.
    """
    size = starts.shape[0]
    mask = np.uint64(slots(size) - 1)
    table = np.zeros(mask + np.uint64(1), np.uint64)
    terminal, breaks, entries, entry_chars, copied = 0, 0, 0, 0, 0
    for i in range(size):
        length, last = ends[i] - starts[i], codes[ends[i] - 1]
        ended = closed[i] and last != _ELLIPSIS
        terminal += ended
        breaks += not ended and i + 1 < size
        if length <= short:
            mark = (info[last] & TERMINAL) != 0 or last in (
                33, 34, 39, 41, 44, 45, 58, 59, 93, 0x2013, 0x2014, 0x2019, 0x201D, 0x3001, 0xFF0C, 0xFF1A, 0xFF1B,
                0x300D, 0x300F,
            )  # fmt: skip
            entries += not mark
            entry_chars += 0 if mark else length
        elif worded[i]:
            value = hashes[i] | np.uint64(1)
            slot = value >> np.uint64(1) & mask
            while table[slot] != 0 and table[slot] != value:
                slot = (slot + np.uint64(1)) & mask
            copied += length if table[slot] == value else 0
            table[slot] = value
    return terminal, breaks, entries, entry_chars, copied
