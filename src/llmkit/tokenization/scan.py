"""Find where sentences begin in the UTF-8 bytes of many documents at once, and with which token.

The rules are those of `data.sentences`, which reads one string at a time; here they run as machine code over a batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmkit.work.kernel import kernel

_ENDS = np.zeros(256, np.bool_)
_ENDS[list(b".!?\n\xe2\xe3\xef")] = True
"""First bytes of what may end a sentence."""
_FOLLOWS = np.zeros((256, 256), np.bool_)
"""By such a byte, the bytes that may stand behind it where a sentence does end."""
_FOLLOWS[np.ix_(list(b".!?"), [*b".!?\"')]\t\n\v\f\r\x1c\x1d\x1e\x1f ", 0xC2, 0xE1, 0xE2, 0xE3, 0xEF])] = True
_FOLLOWS[0xE2, 0x80] = _FOLLOWS[0xE3, 0x80] = _FOLLOWS[0xEF, 0xBC] = True


@kernel
def _is(data: Any, i: int, stop: int, a: int, b: int, c: int) -> bool:
    return i + 3 <= stop and data[i] == a and data[i + 1] == b and data[i + 2] == c


@kernel
def _space(data: Any, i: int, stop: int) -> int:
    """Return the bytes of the white space character at `i`, else 0; white space as `str.isspace` has it."""
    if i >= stop:
        return 0
    a = data[i]
    if a < 0x80:
        return 1 if a == 32 or 9 <= a <= 13 or 28 <= a <= 31 else 0
    if a == 0xC2:
        return 2 if i + 2 <= stop and (data[i + 1] == 0x85 or data[i + 1] == 0xA0) else 0
    if a == 0xE2 and i + 3 <= stop:
        b, c = data[i + 1], data[i + 2]
        if b == 0x80 and (0x80 <= c <= 0x8A or 0xA8 <= c <= 0xA9 or c == 0xAF):
            return 3
        return 3 if b == 0x81 and c == 0x9F else 0
    return 3 if _is(data, i, stop, 0xE1, 0x9A, 0x80) or _is(data, i, stop, 0xE3, 0x80, 0x80) else 0


@kernel
def _western_end(data: Any, i: int, stop: int) -> int:  # . ! ? …
    if i < stop and (data[i] == 46 or data[i] == 33 or data[i] == 63):
        return 1
    return 3 if _is(data, i, stop, 0xE2, 0x80, 0xA6) else 0


@kernel
def _western_close(data: Any, i: int, stop: int) -> int:  # " ' ) ] ” ’
    if i < stop and (data[i] == 34 or data[i] == 39 or data[i] == 41 or data[i] == 93):
        return 1
    return 3 if _is(data, i, stop, 0xE2, 0x80, 0x9D) or _is(data, i, stop, 0xE2, 0x80, 0x99) else 0


@kernel
def _chinese_end(data: Any, i: int, stop: int) -> int:  # 。 ！ ？ …
    if _is(data, i, stop, 0xE3, 0x80, 0x82) or _is(data, i, stop, 0xE2, 0x80, 0xA6):
        return 3
    return 3 if _is(data, i, stop, 0xEF, 0xBC, 0x81) or _is(data, i, stop, 0xEF, 0xBC, 0x9F) else 0


@kernel
def _chinese_close(data: Any, i: int, stop: int) -> int:  # ” ’ 」 』 ）
    if _is(data, i, stop, 0xE2, 0x80, 0x9D) or _is(data, i, stop, 0xE2, 0x80, 0x99):
        return 3
    if _is(data, i, stop, 0xE3, 0x80, 0x8D) or _is(data, i, stop, 0xE3, 0x80, 0x8F):
        return 3
    return 3 if _is(data, i, stop, 0xEF, 0xBC, 0x89) else 0


@kernel
def _after_spaces(data: Any, i: int, stop: int) -> int:
    size = _space(data, i, stop)
    while size:
        i += size
        size = _space(data, i, stop)
    return i


@kernel
def _after_western(data: Any, i: int, stop: int) -> tuple[int, int]:
    """Return the end of the run of Western sentence ends at `i`, and of the closing marks behind it."""
    size = _western_end(data, i, stop)
    while size:
        i += size
        size = _western_end(data, i, stop)
    run = i
    size = _western_close(data, i, stop)
    while size:
        i += size
        size = _western_close(data, i, stop)
    return run, i


@kernel
def _after_chinese(data: Any, i: int, stop: int) -> int:
    size = _chinese_end(data, i, stop)
    while size:
        i += size
        size = _chinese_end(data, i, stop)
    size = _chinese_close(data, i, stop)
    while size:
        i += size
        size = _chinese_close(data, i, stop)
    return i


@kernel
def _candidate(data: Any, start: int, stop: int) -> int:
    """Return the next byte at which a sentence may end; by far the most bytes are passed over here.

    A full stop within a number or a name, and a Chinese comma, are told by the byte behind.
    """
    for i in range(start, stop):
        if _ENDS[data[i]] and (data[i] == 10 or i + 1 == stop or _FOLLOWS[data[i], data[i + 1]]):
            return i
    return stop


@kernel
def _next_start(data: Any, i: int, stop: int, failed: int) -> tuple[int, int]:
    """Return the first sentence start behind `i`, and up to where Western ends are known to fail.

    The last number keeps a run of a million dots from being walked a million times.
    """
    i = _candidate(data, i, stop)
    while i < stop:
        end = -1
        if data[i] == 10:
            end = i + 1
        elif i >= failed and _western_end(data, i, stop):
            run, close = _after_western(data, i, stop)
            if _space(data, close, stop):
                end = close
            else:
                failed = run
        if end < 0 and _chinese_end(data, i, stop):
            end = _after_chinese(data, i, stop)
        if end >= 0:
            return _after_spaces(data, end, stop), failed
        i = _candidate(data, i + 1, stop)
    return stop, failed


@kernel
def _find_starts(data: Any, start: int, stop: int, out: Any) -> int:
    found, failed, count = _after_spaces(data, start, stop), start, 0
    while found < stop:
        out[count] = found - start
        count += 1
        found, failed = _next_start(data, found, stop, failed)
    return count


@kernel
def _token_behind(ids: Any, token_bytes: Any, token: int, last: int, begin: int, place: int) -> tuple[int, int]:
    """Return the first token from `token` on, which begins at `begin`, that ends behind a place, and its begin."""
    for i in range(token, last):
        end = begin + token_bytes[ids[i]]
        if end > place:
            return i, begin
        begin = end
    return last, begin


@kernel
def _find_segments(
    data: Any, bounds: Any, ids: Any, counts: Any, token_bytes: Any, segments: Any, num_segments: Any, lost: Any
) -> int:
    """Fill in, per document, the tokens at which sentences begin; return how many there are in all."""
    first, total = 0, 0
    for d in range(counts.size):
        start, stop, last = bounds[d], bounds[d + 1], first + counts[d]
        place, failed, token, begin, before = _after_spaces(data, start, stop), start, first, start, total
        while place < stop:
            token, begin = _token_behind(ids, token_bytes, token, last, begin, place)
            if token == last:
                break
            if total == before or segments[total - 1] != token - first:
                segments[total] = token - first
                total += 1
            place, failed = _next_start(data, place, stop, failed)
        _, begin = _token_behind(ids, token_bytes, token, last, begin, 2**62)
        lost[d] = stop - begin
        num_segments[d] = total - before
        first = last
    return total


def sentence_starts(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the bytes at which the sentences of one text begin: those of `data.sentences.sentence_starts`."""
    out = np.empty(data.size + 1, np.int64)
    return out[: _find_starts(data, 0, data.size, out)]


def find_segments(
    data: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    ids: NDArray[Any],
    counts: NDArray[np.int64],
    token_bytes: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Find the token at which each sentence begins: the first one that ends behind the sentence's first byte.

    Args:
        data: The bytes of all documents, `[bytes]`.
        bounds: Where each document begins in `data`, and the end of the last, `[documents + 1]`.
        ids: Their tokens, one document after another, `[tokens]`.
        counts: Tokens of each document, `[documents]`.
        token_bytes: Bytes of text that each token of the vocabulary stands for, `[vocabulary]`.

    Returns:
        The segments of all documents, `[segments]`; how many each has, `[documents]`; and the bytes of each document
        that its tokens do not cover, `[documents]`: where that is not 0, the segments mean nothing.
    """
    segments = np.empty(ids.size, np.int32)
    num_segments, lost = np.empty(counts.size, np.int64), np.empty(counts.size, np.int64)
    total = _find_segments(data, bounds, ids, counts, token_bytes, segments, num_segments, lost)
    return segments[:total], num_segments, lost


@kernel
def _count_chars(data: Any, bounds: Any, counts: Any) -> None:
    for d in range(counts.size):
        count = 0
        for i in range(bounds[d], bounds[d + 1]):
            count += (data[i] & 0xC0) != 0x80
        counts[d] = count


def count_chars(data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the code points of each document, `[documents]`; the arguments are those of `find_segments`."""
    counts = np.empty(bounds.size - 1, np.int64)
    _count_chars(data, bounds, counts)
    return counts
