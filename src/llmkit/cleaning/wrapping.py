"""Which lines go on in the next: hard-wrapped paragraphs, recognised by how full their lines are.

Whoever wraps a paragraph at a width ends a line where the next word would not fit. So each line break names the widths
that it agrees with: from the length of the line to that length with the next word. Breaks in mid-sentence vote; where
nearly all agree on a width, the text is wrapped at it. Verse, lists, tables and code break lines that are not full.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

import numpy as np

from llmkit.cleaning.kernels import kernel, mix
from llmkit.text.characters import DIGIT, LETTER, SPACE, TERMINAL, UNSPACED, UPPER, WORD

LOWER, CAPITAL, NUMBER, OTHER, ITEM, BARE = 0, 1, 2, 3, 4, 5
"""How a line begins: inside a sentence (any letter that is no capital), with a capital, a digit, a mark, a bullet or
number of a list; `BARE` lines hold no word at all."""
INDENT, WIDTH, WORD_WIDTH, KIND, GAP, CLOSED, QUOTED, INNER, ENTRY, NUM_COLUMNS = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
"""Columns of what `measure_lines` fills: indentation, end, first word, how it begins, line feeds before it, whether it
ends a sentence, depth of `>`, where text begins behind a wide gap or a bullet (0: none, -1: a table's row), whether it
looks like an entry of something: code, `name: value`, a path, a heading."""
_TAB, _NEWLINE, _QUOTE_MARK, _IDEOGRAPHIC_SPACE = 9, 10, 62, 0x3000
_LONGEST, _NARROWEST, _SURE = 240, 30, 50
_LONGEST_WORD, _LONGEST_HEADING = 25, 28
_SLACK = 4
"""Columns by which a line may be shorter than it had to be: text is edited after it was wrapped."""
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
        if end - start > _LONGEST:
            table[i, INDENT], table[i, WIDTH], table[i, WORD_WIDTH] = 0, end - start, 0
            table[i, KIND], table[i, QUOTED], table[i, INNER], table[i, ENTRY] = OTHER, 0, -1, 0
            table[i, CLOSED] = ends_sentence(codes, info, start, end)
        else:
            _line(codes, info, start, end, wide, table[i])
            alike = i > 0 and _begins_alike(codes, info, starts[i - 1], start, end)
            table[i, ENTRY] = alike or _is_entry(codes, info, start, end)
        table[i, GAP] = feeds


@kernel
def _candidate(table, i, gap):
    """Say whether line `i` may belong to the paragraph of the line before it, whatever their lengths."""
    one, two = table[i - 1], table[i]
    if two[GAP] > gap or one[QUOTED] != two[QUOTED] or two[KIND] >= ITEM or one[KIND] == BARE:
        return False
    if one[WIDTH] > _LONGEST or two[WIDTH] > _LONGEST:
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
    votes = np.zeros(2 * _LONGEST, np.int32)
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
