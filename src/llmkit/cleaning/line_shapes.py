"""What each line of a text is like: where it begins and ends, how it opens and closes, whether it reads as an entry."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

import numpy as np

from llmkit.cleaning.kernels import kernel
from llmkit.text.characters import DIGIT, LETTER, SPACE, TERMINAL, UNSPACED, UPPER, WORD

LOWER, CAPITAL, NUMBER, OTHER, ITEM, BARE = 0, 1, 2, 3, 4, 5
"""How a line begins: inside a sentence (any letter that is no capital), with a capital, a digit, a mark, a bullet or
number of a list; `BARE` lines hold no word at all."""
INDENT, WIDTH, WORD_WIDTH, KIND, GAP, CLOSED, QUOTED, INNER, ENTRY, NUM_COLUMNS = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
"""Columns of what `measure_lines` fills: indentation, end, first word, how it begins, line feeds before it, whether it
ends a sentence, depth of `>`, where text begins behind a wide gap or a bullet (0: none, -1: a table's row), whether it
looks like an entry of something: code, `name: value`, a path, a heading."""
_TAB, _NEWLINE, _QUOTE_MARK, _IDEOGRAPHIC_SPACE = 9, 10, 62, 0x3000
LONGEST = 240
_LONGEST_WORD, _LONGEST_HEADING = 25, 28
_CLOSERS = np.array(
    [34, 39, 41, 42, 93, 95, 125, 0xBB, 0x2019, 0x201D, 0x3009, 0x300B, 0x300D, 0x300F, 0x3011, 0xFF09, 0xFF3D],
    np.uint32,
)


@kernel
def _closes(code):
    found = False
    for i in range(_CLOSERS.shape[0]):
        found |= code == _CLOSERS[i]
    return found


@kernel
def ends_sentence(codes, info, start, end):
    """Say whether a line ends a sentence; closing quotes, brackets, emphasis and `[1]` behind the mark do not count."""
    last = end - 1
    while last > start and _closes(codes[last]):
        if codes[last] == 93:  # a reference: [12]
            back = last - 1
            while back > start and info[codes[back]] & DIGIT:
                back -= 1
            if codes[back] == 91 and back < last - 1 and back > start:
                last = back
        last -= 1
    return (info[codes[last]] & TERMINAL) != 0


@kernel
def _item_end(codes, info, start, end):
    """Return where the text of a list item begins; `start` where the line begins none."""
    i, code = start, codes[start]
    if code in (42, 43, 45, 0x2022, 0xB7, 0x2013, 0x2014, 0x25CF, 0x25E6):
        i += 1
    else:
        i += code == 40
        first = i
        while i < end and i - first < 4 and info[codes[i]] & (DIGIT | LETTER) and not info[codes[i]] & UNSPACED:
            i += 1
        if i == first or i >= end:  # before anything of it is read: behind the last character lies other memory
            return start
        short = i - first == 1 or (i - first < 4 and info[codes[first]] & DIGIT)
        if not short or codes[i] not in (41, 46) or (info[codes[first]] & UPPER and code != 40):
            return start
        i += 1
    if i >= end or not info[codes[i]] & SPACE:
        return start
    while i < end and info[codes[i]] & SPACE:
        i += 1
    return i


@kernel
def _is_entry(codes, info, start, end):
    """Say whether a line looks like code, `name: value`, a path, or like a heading in a script without spaces.

    Prose has some such lines, lists and code hardly others: it is their share of a block that tells.
    """
    blanks, unspaced, marks, word = 0, 0, 0, 0
    for i in range(start, end):
        code, what = codes[i], info[codes[i]]
        if code in (61, 92, 123, 124, 125):  # = \ { | }
            return True
        if what & SPACE:
            blanks += 1
            if blanks == 1 and codes[i - 1] == 58:  # a name and a colon
                return True
        elif what & UNSPACED:
            unspaced += 1
        elif not what & WORD:
            marks += 1
        word += blanks == 0
    last = codes[end - 1]
    if last in (58, 59) or (last == 41 and end - start > 1 and codes[end - 2] == 40):  # : ; and ()
        return True
    if 2 * unspaced > end - start:
        return marks == 0 and end - start <= _LONGEST_HEADING
    return blanks == 0 or word > _LONGEST_WORD


@kernel
def _begins_alike(codes, info, one, two, end):
    """Say whether two lines begin with the same word."""
    size = 0
    while two + size < end and not info[codes[two + size]] & SPACE:
        if codes[one + size] != codes[two + size]:
            return False
        size += 1
    return size > 1 and (info[codes[one + size]] & SPACE) != 0


@kernel
def _line(codes, info, start, end, wide, row):
    """Fill the row of one line, but for its gap."""
    begin = start
    while begin > 0 and codes[begin - 1] != _NEWLINE:
        begin -= 1
    column, i = 0, begin
    row[QUOTED] = 0
    while i < end and (info[codes[i]] & SPACE or codes[i] == _QUOTE_MARK):
        row[QUOTED] += codes[i] == _QUOTE_MARK
        column = column // 8 * 8 + 8 if codes[i] == _TAB else column + (wide if codes[i] == _IDEOGRAPHIC_SPACE else 1)
        i += 1
    row[INDENT], row[KIND], row[INNER], row[WORD_WIDTH] = column, BARE, 0, 0
    if i >= end:
        row[WIDTH], row[CLOSED] = column, 0
        return
    text = _item_end(codes, info, i, end)
    what, item = info[codes[i]], text > i
    kind = CAPITAL if what & UPPER else LOWER
    if not what & LETTER:
        kind = NUMBER if what & DIGIT else OTHER
    wordy, gaps, run, first = False, 0, 0, True
    while i < end:
        what = info[codes[i]]
        if what & SPACE:
            run += 4 if codes[i] == _TAB else 1
            first = False
        else:
            if run >= 4 and not item:
                gaps += 1
                row[INNER] = column if gaps == 1 else -1
            run = 0
            if item and i == text:
                row[INNER] = column
            if first and what & UNSPACED and row[WORD_WIDTH]:
                first = False  # lines break between any two of them
            row[WORD_WIDTH] += (wide if what & UNSPACED else 1) if first else 0
            wordy |= (what & (WORD | UNSPACED)) != 0
        column += wide if what & UNSPACED or 0x3000 <= codes[i] <= 0x303F or 0xFF00 <= codes[i] <= 0xFF60 else 1
        i += 1
    row[WIDTH], row[KIND] = column, (ITEM if item else kind) if wordy else BARE
    row[CLOSED] = ends_sentence(codes, info, start, end)


@kernel
def measure_lines(codes, info, starts, ends, wide, table):
    """Fill `[lines, NUM_COLUMNS]`; the widths of lines too long for wrapped text are their lengths alone."""
    for i in range(starts.shape[0]):
        start, end = starts[i], ends[i]
        feeds, at = 0, ends[i - 1] if i else start
        while at < start:
            feeds += codes[at] == _NEWLINE
            at += 1
        if end - start > LONGEST:
            table[i, INDENT], table[i, WIDTH], table[i, WORD_WIDTH] = 0, end - start, 0
            table[i, KIND], table[i, QUOTED], table[i, INNER], table[i, ENTRY] = OTHER, 0, -1, 0
            table[i, CLOSED] = ends_sentence(codes, info, start, end)
        else:
            _line(codes, info, start, end, wide, table[i])
            alike = i > 0 and _begins_alike(codes, info, starts[i - 1], start, end)
            table[i, ENTRY] = alike or _is_entry(codes, info, start, end)
        table[i, GAP] = feeds
