"""Which lines go on in the next: hard-wrapped paragraphs, recognised by how full their lines are.

Whoever wraps a paragraph at a width ends a line where the next word would not fit. So each line break names the widths
that it agrees with: from the length of the line to that length with the next word. Breaks in mid-sentence vote; where
nearly all agree on a width, the text is wrapped at it. Verse, lists, tables and code break lines that are not full.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

import numpy as np

from llmkit.cleaning.kernels import kernel, mix
from llmkit.cleaning.line_shapes import (
    BARE,
    CAPITAL,
    CLOSED,
    ENTRY,
    GAP,
    INDENT,
    INNER,
    ITEM,
    KIND,
    LONGEST,
    LOWER,
    NUM_COLUMNS,
    QUOTED,
    WIDTH,
    WORD_WIDTH,
    measure_lines,
)

_NARROWEST, _SURE = 30, 50
_SLACK = 4
"""Columns by which a line may be shorter than it had to be: text is edited after it was wrapped."""


@kernel
def _candidate(table, i, gap):
    """Say whether line `i` may belong to the paragraph of the line before it, whatever their lengths."""
    one, two = table[i - 1], table[i]
    if two[GAP] > gap or one[QUOTED] != two[QUOTED] or two[KIND] >= ITEM or one[KIND] == BARE:
        return False
    if one[WIDTH] > LONGEST or two[WIDTH] > LONGEST:
        return False
    hanging = one[INNER] > 0 and one[INNER] == two[INDENT]
    return (hanging or one[INNER] == 0 or one[KIND] == ITEM) and two[INNER] == 0


@kernel
def _runs_on(table, i):
    """Say whether a sentence goes on from the line before `i` into it."""
    return table[i, KIND] == LOWER and not table[i - 1, CLOSED] and not (table[i, ENTRY] and table[i - 1, ENTRY])


@kernel
def _agrees(table, i, width, slack):
    end = table[i - 1, WIDTH]
    return end <= width and end + table[i, WORD_WIDTH] + slack >= width


@kernel
def _vote(table, first, last, gap, votes):
    """Return the width that most breaks in mid-sentence among lines `first` to `last` agree with, and how many vote."""
    votes[:] = 0
    count = 0
    for i in range(first + 1, last):
        if _candidate(table, i, gap) and _runs_on(table, i):
            count += 1
            low = table[i - 1, WIDTH]
            votes[low] += 1
            votes[min(low + table[i, WORD_WIDTH] + _SLACK + 1, votes.shape[0] - 1)] -= 1
    best, running, most = 0, 0, 0
    for width in range(votes.shape[0]):
        running += votes[width]
        if running > most:
            best, most = width, running
    return best, most, count


@kernel
def unit_hashes(hashes, joined):
    """Return the hashes of lines with those of joined lines made one."""
    found = np.empty(hashes.shape[0], np.uint64)
    count = 0
    for i in range(hashes.shape[0]):
        if joined[i]:
            found[count - 1] = mix(found[count - 1] ^ hashes[i])
        else:
            found[count] = hashes[i]
            count += 1
    return found[:count]


@kernel
def _count_full(table, first, last, gap, width):
    """Return how many breaks agree with a width, and how many of them in mid-sentence."""
    full, inside = 0, 0
    for i in range(first + 1, last):
        if _candidate(table, i, gap) and _agrees(table, i, width, _SLACK):
            full += 1
            inside += _runs_on(table, i)
    return full, inside


@kernel
def _join_block(table, first, last, gap, width, joined):
    """Mark the lines from `first` to `last` that continue the one before, in a block wrapped at a width."""
    for i in range(first + 1, last):
        if not _candidate(table, i, gap):
            continue
        one, two = table[i - 1], table[i]
        opens = not joined[i - 1]
        # A first line stands deeper or, in lists, less deep than the others; else another indent is another paragraph.
        if one[INDENT] != two[INDENT] and not opens:
            continue
        if opens and two[INDENT] > one[INDENT] and one[KIND] != ITEM and one[INNER] != two[INDENT] and one[CLOSED]:
            continue
        indented = i + 1 < last and one[INDENT] == two[INDENT] > table[i + 1, INDENT] and _candidate(table, i + 1, gap)
        if indented:  # a paragraph of one line before the first of another
            continue
        inside = _runs_on(table, i)
        if gap > 1 and one[CLOSED] and two[KIND] == CAPITAL:  # nothing else tells paragraphs apart
            continue
        end = one[WIDTH] + two[WORD_WIDTH]
        if end + (_SLACK if inside else 0) >= width or (inside and 2 * one[WIDTH] > width):
            joined[i] = True


@kernel
def find_wrapped(table, joined):
    """Mark the lines that continue the one before them."""
    size = table.shape[0]
    if size < 2:
        return
    votes = np.zeros(2 * LONGEST, np.int32)
    single = 0
    for i in range(1, size):
        single += table[i, GAP] == 1
    gap = 1 if 10 * single > size else 2  # double-spaced
    whole, agreed, voters = _vote(table, 0, size, gap, votes)
    if voters == 0:
        return
    full, inside = _count_full(table, 0, size, gap, whole)
    # Logs and verse may be as full, but hardly a line of them begins inside a sentence.
    common = agreed >= 0.7 * voters and 3 * inside >= full and whole >= (_NARROWEST if voters > 3 else _SURE)
    first = 0
    for i in range(1, size + 1):
        if i < size and _candidate(table, i, gap):
            continue
        if i - first > 1 and 2 * table[first:i, ENTRY].sum() <= i - first:
            width, most, count = _vote(table, first, i, gap, votes)
            full, inside = _count_full(table, first, i, gap, width)
            own = count > 3 and most >= 0.8 * count and width >= _NARROWEST and 3 * inside >= full
            full, inside = _count_full(table, first, i, gap, whole)
            shared = common and 2 * inside >= count and (full < 3 or 3 * inside >= full)
            if own or shared:
                width = whole if shared else width
                _join_block(table, first, i, gap, width, joined)
        first = i


@kernel
def find_units(codes, info, starts, ends, unspaced):
    """Return which lines continue the one before, end a sentence and hold a word, and how many continue another.

    `unspaced` is how many characters of unspaced scripts there are: with some, the width may be one of characters
    instead of columns; the one that explains more line breaks is taken.
    """
    size = starts.shape[0]
    table, joined = np.empty((size, NUM_COLUMNS), np.int32), np.zeros(size, np.bool_)
    measure_lines(codes, info, starts, ends, 2, table)
    find_wrapped(table, joined)
    if unspaced:
        narrow, others = np.empty((size, NUM_COLUMNS), np.int32), np.zeros(size, np.bool_)
        measure_lines(codes, info, starts, ends, 1, narrow)
        find_wrapped(narrow, others)
        if others.sum() > joined.sum():
            joined = others
    closed, worded = np.empty(size, np.bool_), np.empty(size, np.bool_)
    count = 0
    for i in range(size):
        closed[i], worded[i] = table[i, CLOSED] > 0, table[i, KIND] != BARE
        count += joined[i]
    return joined, closed, worded, count
