"""How deep the elements of a page nest, told from its tags alone: the bookkeeping of `_html_scan`.

The stack of open elements and the list of active formatting elements of the HTML standard, 13.2.4, without what only
moves elements about.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from typing import Any

import numpy as np

from llmkit.cleaning.kernels import kernel

MAX_DEPTH = 500
"""Browsers stop nesting at 512. The main-content rules walk up from every node: 10,000 levels take seconds."""
MAX_UNCLOSED = 64
"""Unclosed formatting elements are opened anew in every paragraph: 1,000 of them in 3,000 paragraphs take 7 seconds."""

FORMATTING, VOID, CLOSED_BY_NEXT, RAW, FOREIGN, SCOPE, BLOCK = range(1, 8)
_KINDS = {
    FORMATTING: "a b big code em font i nobr s small strike strong tt u",
    VOID: "area base basefont br col embed frame hr image img input keygen link meta param source track wbr",
    # What the next of their kind closes; they count as no level.
    CLOSED_BY_NEXT: "p li dt dd tr td th thead tbody tfoot colgroup html head body option optgroup rb rp rt rtc",
    RAW: "script style textarea title xmp iframe noembed noframes",
    FOREIGN: "svg math",
    # No end tag reaches beyond these but their own.
    SCOPE: "applet caption marquee object table template",
    BLOCK: "center div dl h1 h2 h3 ol pre span ul",
}


def pack(name: str) -> int:
    """Return an element's name as one number: its first seven letters, and how long it is."""
    return int.from_bytes(name.encode()[:7], "little") | (len(name) << 56)


def _table() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the names and their kinds as a hash table of 256 slots."""
    names, kinds = np.zeros(256, np.uint64), np.zeros(256, np.int64)
    for kind, text in _KINDS.items():
        for name in map(pack, text.split()):
            slot = (name * 0x9E3779B97F4A7C15 & (2**64 - 1)) >> 56
            while names[slot]:
                slot = (slot + 1) & 255
            names[slot], kinds[slot] = name, kind
    return names, kinds


_NAMES, _NAME_KINDS = _table()
_A, _NOBR, _FONT = (np.uint64(pack(name)) for name in ("a", "nobr", "font"))

NAMES, KINDS, ACTIVE, ATTRIBUTES = range(4)
"""Rows of `open_`: the open elements, their kinds, the open formatting elements, the hashes of their attributes."""
DEPTH, NUM_ACTIVE, NUM_FOREIGN, TOO_MUCH = range(4)
"""Of `counts`: how many there are of either, how many levels of drawings are open, whether that was ever too much."""


def new_nesting() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return `open_` and `counts` before the first tag: two arrays, since each that a kernel is given takes time."""
    return np.empty((4, MAX_DEPTH + 1), np.uint64), np.zeros(4, np.int64)


@kernel
def kind_of(name):
    """Return the kind of an element, 0 for any other."""
    slot = np.int64((name * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(56))
    while _NAMES[slot] != 0 and _NAMES[slot] != name:
        slot = (slot + 1) & 255
    return _NAME_KINDS[slot] if _NAMES[slot] == name else 0


@kernel
def ends_foreign(name, kind):
    """Tell whether an element ends a drawing or a formula, or can only be the HTML within one."""
    if kind == FORMATTING:
        return name not in (_A, _FONT)  # a drawing has these, too
    return kind in (VOID, CLOSED_BY_NEXT, BLOCK) or (kind == SCOPE)


@kernel
def open_element(open_, counts, name, kind):
    """Open an element, one level deeper than the last."""
    depth = counts[DEPTH]
    if depth > MAX_DEPTH:
        return
    open_[NAMES][depth], open_[KINDS][depth] = name, kind
    counts[DEPTH] = depth + 1
    counts[NUM_FOREIGN] += kind == FOREIGN
    if depth == MAX_DEPTH:
        counts[TOO_MUCH] = 1


@kernel
def close_element(open_, counts, name, kind):
    """Close the nearest open element of the name, and all within it."""
    depth = counts[DEPTH]
    k = depth - 1
    while k >= 0 and open_[NAMES][k] != name:
        if open_[KINDS][k] == SCOPE and kind != SCOPE:
            return
        k -= 1
    if k < 0:
        return
    foreign = counts[NUM_FOREIGN]
    for j in range(k, depth):
        foreign -= open_[KINDS][j] == FOREIGN
    counts[NUM_FOREIGN] = max(foreign, 0)
    counts[DEPTH] = k


@kernel
def format_text(open_, counts, name, closing, attributes):
    """Open or close a formatting element; a link and `<nobr>` close the one before."""
    count = counts[NUM_ACTIVE]
    active, hashes = open_[ACTIVE], open_[ATTRIBUTES]
    if closing or name in (_A, _NOBR):
        count = _deactivate(active, hashes, count, name)
    if not closing and count <= MAX_UNCLOSED:
        # Of those that are alike, three at most are opened anew.
        alike = 0
        for k in range(count):
            alike += active[k] == name and hashes[k] == attributes
        if alike < 3:
            active[count], hashes[count] = name, attributes
            count += 1
    counts[NUM_ACTIVE] = count
    if count > MAX_UNCLOSED:
        counts[TOO_MUCH] = 1


@kernel
def _deactivate(active, hashes, count, name):
    for k in range(count - 1, -1, -1):
        if active[k] == name:
            for j in range(k, count - 1):
                active[j], hashes[j] = active[j + 1], hashes[j + 1]
            return count - 1
    return count
