"""Tokens of a text, by one pass over its code points: words, symbols, and characters of scripts without spaces."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

import numpy as np

from llmkit.cleaning.kernels import kernel, mix
from llmkit.text.characters import DIGIT, INVISIBLE, LETTER, MARK, SCRIPT_SHIFT, SPACE, UNSPACED, UPPER, WORD

SEED = np.uint64(0x9E3779B97F4A7C15)
PRIME = np.uint64(0x100000001B3)
_NEWLINE, _STOP, _COMMA, _APOSTROPHE, _HYPHEN, _UNDERSCORE = 10, 46, 44, 39, 45, 95
_EXCLAMATION, _QUESTION, _RIGHT_QUOTE = 33, 63, 0x2019


def _unmixed(word):
    value = int(SEED)
    for char in word:
        value = (value ^ ord(char)) * int(PRIME) % 2**64
    return value


_TITLES = np.array([_unmixed(word) for word in ("mr", "mrs", "ms", "dr", "st", "prof", "gen", "jr", "sr")], np.uint64)


@kernel
def _is_title(value):
    found = False
    for i in range(_TITLES.shape[0]):
        found |= _TITLES[i] == value
    return found


@kernel
def scan_tokens(  # noqa: C901, PLR0912, PLR0915 - cut into a function a kind it takes 2.3 times as long, inlined too
    codes, info, folded, starts, ends, hashes, kinds, totals, scripts
):
    """Fill the arrays of `Tokens`, the fields of `Totals` and the characters per script; return the number of tokens.

    A word keeps a point or comma between digits (1,000.5) and the points of single letters and titles (U.S., Mr.);
    an apostrophe between letters begins the next word (don|'t), as treebank tokenizers cut it. Symbols that repeat are
    one token (`...`, `-----`); marks belong to the token before them, and `;--` of `said;--and` to the word.
    """
    size, count, i = codes.shape[0], 0, 0
    word = 0  # tokens up to the word that nothing but symbols follow, without a space; 0 where there is none
    while i < size:
        code = codes[i]
        what = info[code]
        if what & SPACE:
            totals[3] += 1
            totals[4] += code == _NEWLINE
            i += 1
            continue
        start, lettered, value = i, 0, SEED
        if what & WORD and code != _UNDERSCORE:
            kind, run, dotted = 1, 0, False
            while True:
                value = (value ^ np.uint64(folded[code])) * PRIME
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
            value = (value ^ np.uint64(code)) * PRIME
            scripts[what >> SCRIPT_SHIFT] += 1
            totals[0] += lettered
            i += 1
            while i < size and info[codes[i]] & MARK:
                value = (value ^ np.uint64(codes[i])) * PRIME
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
            value = (value ^ np.uint64(code)) * PRIME
            i += 1
            if clitic:
                kind, lettered = 1, 1
                while i < size and info[codes[i]] & (WORD | MARK):
                    what = info[codes[i]]
                    value = (value ^ np.uint64(folded[codes[i]])) * PRIME
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
                    value = (value ^ np.uint64(codes[i])) * PRIME
                    i += 1
                dash = code == _HYPHEN and i - start > 1 and codes[start + 1] == code
                if dash and 0 < word < count and ends[count - 1] == start:
                    count = word
                    totals[7] += i - ends[count - 1]
                    ends[count - 1] = i
                    continue
        if kind:
            totals[6] += 1
            totals[7] += i - start
            totals[8] += lettered
            totals[9] += kind == 2
        if kind or (count and ends[count - 1] < start):
            word = count + 1 if kind == 1 else 0
        starts[count], ends[count], kinds[count] = start, i, kind
        hashes[count] = mix(value)
        count += 1
    scripts[0] += totals[3]
    return count
