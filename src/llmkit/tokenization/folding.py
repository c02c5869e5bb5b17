"""Say which split the documents of a batch are in, as `split_of` does, from their UTF-8 bytes and many times faster."""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmkit.data.split import SPLITS, split_of
from llmkit.work.kernel import kernel

_COMPLEX = 254
"""Size of a character in the table that cannot be folded by itself."""
_ASCII = np.frombuffer("".join(" " if chr(i).isspace() else chr(i).lower() for i in range(128)).encode(), np.uint8)
_MAX_FOLDED = 36
"""UTF-8 bytes of the longest folded character, U+FDFA, with room to spare."""


@kernel
def _fold(data: Any, bounds: Any, sizes: Any, places: Any, blob: Any, known: Any, d: int, out: Any, ends: Any) -> Any:
    """Fold the documents from `d` on into `out`, up to a character of a block that is not known.

    `ends` gets where each ends in `out`, and where it begins if it cannot be folded. Returned are the document to go on
    with, and the block and the position of that character, or -1.
    """
    at = ends[d - 1] if d else 0
    while d + 1 < bounds.size:
        i, stop, begin, space = bounds[d], bounds[d + 1], at, True
        # From here on `out` always has room for the bytes that are left, as they are.
        fits = at + stop - i <= out.size
        while i < stop and fits:
            a = data[i]
            if a < 0x80:  # most of most text: written without a branch, and overwritten where it is one space too many
                folded = _ASCII[a]
                out[at] = folded
                blank = folded == 32
                at += 1 - (space & blank)
                space = blank
                i += 1
                continue
            if a < 0xE0:
                point, i = (np.int64(a) & 0x1F) << 6 | (data[i + 1] & 0x3F), i + 2
            elif a < 0xF0:
                point = (np.int64(a) & 0x0F) << 12 | np.int64(data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F)
                i += 3
            else:
                point = (np.int64(a) & 0x07) << 18 | np.int64(data[i + 1] & 0x3F) << 12
                point, i = point | np.int64(data[i + 2] & 0x3F) << 6 | (data[i + 3] & 0x3F), i + 4
            if not known[point >> 8]:
                return d, point >> 8, i - 1
            size, place = sizes[point], places[point]
            fits = size != _COMPLEX and at + size + stop - i <= out.size
            if fits and not (space and size == 1 and blob[place] == 32):
                for j in range(size):
                    out[at + j] = blob[place + j]
                at += size
                space = out[at - 1] == 32 if size else space
        if not fits:
            at = begin
        elif at > begin and space:
            at -= 1
        ends[d] = at
        d += 1
    return d, -1, -1


class Folding:
    """The table by which characters are normalized for `split_of`, filled in block by block as they turn up.

    `split_of` hashes a text in NFKC, case folded, with one space for every stretch of white space. Characters that
    never compose with what stands before them are normalized one by one; a document with any other is left to it.
    """

    def __init__(self) -> None:
        self.sizes = np.zeros(0x110000, np.uint8)
        self.places = np.zeros(0x110000, np.int32)
        self.blob = np.zeros(1 << 16, np.uint8)
        self._filled: set[int] = set()
        self._end = 0
        self._lock = threading.Lock()

    def fill(self, block: int) -> None:
        """Fill in a block of 256 characters; what other threads have been told of stays as it is meanwhile."""
        with self._lock:
            if block not in self._filled:
                self._fill(block)
                self._filled.add(block)

    def _fill(self, block: int) -> None:
        for point in range(block << 8, (block + 1) << 8):
            encoded = _folded(chr(point))
            if encoded is None:
                self.sizes[point] = _COMPLEX
                continue
            if self._end + len(encoded) > self.blob.size:
                self.blob = np.concatenate([self.blob, np.zeros_like(self.blob)])
            self.blob[self._end : self._end + len(encoded)] = np.frombuffer(encoded, np.uint8)
            self.places[point], self.sizes[point] = self._end, len(encoded)
            self._end += len(encoded)


def _folded(character: str) -> bytes | None:
    """Return what a character becomes whatever stands beside it; None where that matters."""
    first = unicodedata.normalize("NFKD", character)[0]
    # Marks and the vowels and finals of Hangul join, or swap places, with what stands before them.
    if unicodedata.combining(first) or unicodedata.category(first)[0] == "M" or 0x1160 <= ord(first) <= 0x11FF:
        return None
    folded = unicodedata.normalize("NFKC", character).casefold()
    encoded = "".join(" " if c.isspace() else c for c in folded).encode("utf-8", "surrogatepass")
    return None if len(encoded) > 1 and b" " in (encoded[:1], encoded[-1:]) else encoded


_folding = cache(Folding)
"""This process's table."""


class Splitter:
    """Says which split documents are in, as `split_of` does, and where characters of a new kind first turn up.

    Args:
        validation_fraction: See `split_of`.
        test_fraction: See `split_of`.
    """

    def __init__(self, *, validation_fraction: float, test_fraction: float) -> None:
        self._fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
        self._table = _folding()  # once: threads that ask at the same time may get one each
        self._known = np.zeros(0x1100, np.bool_)
        self._out = np.empty(0, np.uint8)  # kept: new memory costs as much as a third of the folding

    def split(self, data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> tuple[NDArray[np.uint8], list[int]]:
        """Split documents.

        Args:
            data: The bytes of all documents, `[bytes]`.
            bounds: Where each document begins in `data`, and the end of the last, `[documents + 1]`.

        Returns:
            The position of each document's split in `SPLITS`, `[documents]`; and the last byte, in `data`, of the first
            character, but for ASCII, of each block of 256 that no document has had before.
        """
        u, unusual = self._hash(data, bounds)
        test, validation = self._fractions["test_fraction"], self._fractions["validation_fraction"]
        held_out = np.where(u < test + validation, SPLITS.index("validation"), SPLITS.index("train"))
        found = np.where(u < test, SPLITS.index("test"), held_out).astype(np.uint8)
        for d in np.flatnonzero(np.isnan(u)):
            text = data[bounds[d] : bounds[d + 1]].tobytes().decode()
            found[d] = SPLITS.index(split_of(text, **self._fractions))
        return found, unusual

    def _hash(self, data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> tuple[NDArray[np.float64], list[int]]:
        """Return each document's number in [0, 1), NaN where only `split_of` can tell, and the unusual bytes."""
        table, unusual = self._table, []
        found = np.full(bounds.size - 1, np.nan)
        if self._out.size < data.size * 5 // 4 + _MAX_FOLDED:
            self._out = np.empty(data.size * 5 // 4 + _MAX_FOLDED, np.uint8)
        out, ends = self._out, np.zeros(found.size, np.int64)
        done, block, place = 0, 0, 0
        while done < found.size:
            done, block, place = _fold(
                data, bounds, table.sizes, table.places, table.blob, self._known, done, out, ends
            )
            if block >= 0:
                table.fill(block)
                self._known[block] = True
                unusual.append(place)
        view, begin = out.data, 0
        for d, end in enumerate(ends.tolist()):
            if end > begin or bounds[d] == bounds[d + 1]:
                digest = hashlib.blake2b(view[begin:end], digest_size=8).digest()
                found[d] = (int.from_bytes(digest, "big") >> 11) / 2**53
            begin = end
        return found, unusual
