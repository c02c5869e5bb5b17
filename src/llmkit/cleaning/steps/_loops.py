"""Compiled loops that one step each needs: phrases and runs of lines, the profile of a Chinese text."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

import numpy as np

from llmkit.cleaning.kernels import kernel, slots
from llmkit.text.characters import INVISIBLE, SCRIPT_SHIFT, SPACE, TERMINAL, UNSPACED, WORD


@kernel
def find_phrases(hashes, firsts, phrases, offsets, hits):
    """Fill `hits` with the positions at which phrases begin and return how many there are.

    A phrase is `phrases[offsets[k] : offsets[k + 1]]`, token hashes; `firsts` holds their first tokens, and phrases
    are sorted by them.
    """
    mask = np.uint64(slots(firsts.shape[0]) - 1)
    table = np.full(mask + np.uint64(1), -1, np.int64)
    for k in range(firsts.shape[0] - 1, -1, -1):
        slot = firsts[k] & mask
        while table[slot] >= 0 and firsts[table[slot]] != firsts[k]:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = k
    count = 0
    for i in range(hashes.shape[0]):
        slot = hashes[i] & mask
        while table[slot] >= 0 and firsts[table[slot]] != hashes[i]:
            slot = (slot + np.uint64(1)) & mask
        k = table[slot]
        while 0 <= k < firsts.shape[0] and firsts[k] == hashes[i]:
            length = offsets[k + 1] - offsets[k]
            n = 1
            while n < length and i + n < hashes.shape[0] and hashes[i + n] == phrases[offsets[k] + n]:
                n += 1
            if n == length:
                hits[count] = i
                count += 1
                break
            k += 1
    return count


@kernel
def tokens_per_line(line_ends, starts, kinds, words, symbols, last):
    """Fill `[lines]` numbers of words and of symbols per line, and the kind of the last token."""
    line = 0
    for i in range(starts.shape[0]):
        while starts[i] >= line_ends[line]:
            line += 1
        if kinds[i]:
            words[line] += 1
        else:
            symbols[line] += 1
        last[line] = kinds[i]


@kernel
def runs(mask, least):
    """Return the mask with only those runs of True that are at least `least` long."""
    kept = np.zeros(mask.shape[0], np.bool_)
    start = 0
    for i in range(mask.shape[0] + 1):
        if i == mask.shape[0] or not mask[i]:
            if i - start >= least:
                kept[start:i] = True
            start = i + 1
    return kept


@kernel
def _is_punctuation(code):
    """Say whether a character is punctuation of Chinese or of Latin prose: `#`, `|`, `/` and the like are symbols."""
    if code < 0x80:
        return code in (33, 34, 39, 40, 41, 44, 45, 46, 58, 59, 63, 91, 93)
    if 0x3001 <= code <= 0x301F:
        return code not in (0x3004, 0x3012, 0x3013)  # 〄 〒 〓
    if 0x2010 <= code <= 0x2027:
        return True
    return code == 0xB7 or code in (
        0xFF01, 0xFF02, 0xFF07, 0xFF08, 0xFF09, 0xFF0C, 0xFF0D, 0xFF0E, 0xFF1A, 0xFF1B, 0xFF1F, 0xFF3B, 0xFF3D,
    )  # fmt: skip


@kernel
def chinese_profile(codes, info, han):
    """Return sentence ends, longest run of Han without punctuation, symbols, full-width and broken characters.

    Line feeds end a run, other blanks do not. Several marks in a row (`？！`, `……`) end one sentence. `han` is the
    position of Han in `SCRIPTS`.
    """
    sentences, run, longest, symbols, wide, broken = 0, 0, 0, 0, 0, 0
    ended = True
    for i in range(codes.shape[0]):
        code = codes[i]
        what = info[code]
        if what >> SCRIPT_SHIFT == han:
            run += 1
            longest = max(longest, run)
            ended = False
            continue
        if 0xFF10 <= code <= 0xFF19 or 0xFF21 <= code <= 0xFF3A or 0xFF41 <= code <= 0xFF5A:
            wide += 1
            ended = False
        elif 0xFF61 <= code <= 0xFF9F or code == 0xFFFD or what & INVISIBLE:
            broken += 1  # half-width kana in Chinese is text read in the wrong encoding
        elif what & (WORD | UNSPACED):
            ended = False
        elif what & SPACE:
            if code == 10:
                run = 0
        else:
            run = 0
            symbols += not _is_punctuation(code)
            if what & TERMINAL and not ended:
                sentences += 1
                ended = True
    return sentences, longest, symbols, wide, broken
