"""Read the tags of a page as a parser does, before any parser sees it: what is a tag, how deep they nest, what to cut.

Tag-like text in scripts, comments, attributes and titles is none. The HTML standard, 13.2.5 (tokenization) and 13.2.4
(the stack of open elements and the list of active formatting elements).
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmkit.cleaning.kernels import kernel
from llmkit.cleaning.steps._html_nesting import (
    CLOSED_BY_NEXT,
    FORMATTING,
    NUM_FOREIGN,
    RAW,
    TOO_MUCH,
    VOID,
    close_element,
    ends_foreign,
    format_text,
    kind_of,
    new_nesting,
    open_element,
    pack,
)

MAX_BYTES = 10_000_000
"""Longer pages, mostly machine output, are read without a document tree, which takes up to 140 bytes a character."""
MAX_TAGS = 400_000
MAX_ATTRIBUTES = 10_000
"""The attributes of a tag are compared with each other."""


_SCRIPT, _STYLE, _IFRAME, _TITLE, _BODY = (
    np.uint64(pack(name)) for name in ("script", "style", "iframe", "title", "body")
)
NUM_CUTS, BODY, TITLE, TITLE_END, NUM_TAGS, UNSAFE = range(6)
"""Where the kernel leaves what it finds."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is made of.

    Attributes:
        source: The page in UTF-8, without its scripts, styles and comments, of which no text is taken.
        body: Where in `source` its first `<body>` tag ends, -1 without one: a fragment.
        title: What stands in its first `<title>`, as it stands there.
        is_safe: Whether a parser reads it in about linear time and memory.
    """

    source: bytes
    body: int
    title: str
    is_safe: bool


def scan(text: str) -> Page:
    """Read a page; it must be free of lone surrogates."""
    data = text.encode()
    cuts = np.empty(2 * data.count(b"<") + 2, np.int64)
    found = np.array([0, -1, 0, 0, 0, 0], np.int64)
    open_, counts = new_nesting()
    _scan(np.frombuffer(data, np.uint8), cuts, found, open_, counts)
    num_cuts, body, title, title_end, _, unsafe = found.tolist()
    if num_cuts:
        places = cuts[:num_cuts].tolist()
        source = b"".join(data[a:b] for a, b in zip([0, *places[1::2]], [*places[::2], len(data)], strict=True))
        body -= sum(places[i + 1] - places[i] for i in range(0, num_cuts, 2) if places[i] < body)
    else:
        source = data
    is_safe = not unsafe and not counts[TOO_MUCH] and len(source) <= MAX_BYTES
    return Page(source, body, data[title:title_end].decode(), is_safe)


@kernel
def _name(data, i):
    """Return the name that begins at `i`, packed in lower case, and where it ends."""
    start = i
    name = np.uint64(0)
    while i < data.shape[0]:
        byte = data[i]
        if byte <= 32 or byte in (47, 62):  # blanks, `/` and `>`
            break
        if 65 <= byte <= 90:
            byte += 32
        if i - start < 7:
            name |= np.uint64(byte) << np.uint64(8 * (i - start))
        i += 1
    return name | (np.uint64(min(i - start, 255)) << np.uint64(56)), i


@kernel
def _tag_end(data, i):
    """Return where the tag ends whose name ends at `i`, whether `/` closes it, and how many attributes it may have."""
    size = data.shape[0]
    attributes = 0
    blank = True
    while i < size and data[i] != 62:
        byte = data[i]
        if byte == 61 and not blank:  # `=`: a value, which may be quoted
            i += 1
            while i < size and data[i] <= 32:
                i += 1
            if i < size and (data[i] == 34 or data[i] == 39):
                quote = data[i]
                i += 1
                while i < size and data[i] != quote:
                    i += 1
                i += 1
            else:
                while i < size and data[i] > 32 and data[i] != 62:
                    i += 1
            blank = True
            continue
        now = byte <= 32 or byte == 47
        attributes += blank and not now
        blank = now
        i += 1
    return min(i + 1, size), i < size and data[i - 1] == 47, attributes, i < size


@kernel
def _is_named(data, i, name):
    """Tell whether the name at `i` is a certain one."""
    found, _ = _name(data, i)
    return found == name


@kernel
def _raw_end(data, i, name):
    """Return where the `</` of the end tag is that closes an element of raw text; the end of the page without one.

    A script within a comment within a script closes itself, not the outer one.
    """
    size = data.shape[0]
    escaped = nested = False
    while i < size:
        byte = data[i]
        if byte not in (60, 62):  # `<` and `>`
            i += 1
            continue
        if byte == 62:
            if escaped and data[i - 1] == 45 and data[i - 2] == 45:
                escaped = nested = False
        elif i + 1 < size and data[i + 1] == 47:
            if _is_named(data, i + 2, name):
                if not nested:
                    return i
                nested = False
        elif name == _SCRIPT:
            if i + 3 < size and data[i + 1] == 33 and data[i + 2] == 45 and data[i + 3] == 45:
                escaped = True
                i += 2  # the dashes may be those of the end, too
            elif escaped and _is_named(data, i + 1, name):
                nested = True
        i += 1
    return size


@kernel
def _comment_end(data, i):
    """Return where the comment ends whose `<!--` ends at `i`."""
    size = data.shape[0]
    if i < size and data[i] == 62:
        return i + 1
    if i + 1 < size and data[i] == 45 and data[i + 1] == 62:
        return i + 2
    while i < size:
        if data[i] == 45 and i + 2 < size and data[i + 1] == 45:
            if data[i + 2] == 62:
                return i + 3
            if data[i + 2] == 33 and i + 3 < size and data[i + 3] == 62:
                return i + 4
        i += 1
    return size


@kernel
def _scan(data, cuts, found, open_, counts):
    """Fill `cuts` with where what is cut begins and ends, `found` with the fields of a `Page`."""
    size = data.shape[0]
    i = 0
    while i < size - 1:
        if data[i] != 60:  # `<`
            i += 1
        elif 97 <= (data[i + 1] | 32) <= 122:
            i = _tag(data, i, i + 1, cuts, found, open_, counts)
        elif data[i + 1] == 47 and i + 2 < size and 97 <= (data[i + 2] | 32) <= 122:
            i = _tag(data, i, i + 2, cuts, found, open_, counts)
        elif data[i + 1] == 33 and i + 3 < size and data[i + 2] == 45 and data[i + 3] == 45:
            i = _cut(cuts, found, i, _comment_end(data, i + 4))
        elif data[i + 1] in (33, 47, 63):  # `<!DOCTYPE`, `<?xml`, `</ `
            while i < size and data[i] != 62:
                i += 1
        else:
            i += 1


@kernel
def _tag(data, start, i, cuts, found, open_, counts):
    """Read the tag that begins at `start` and its name at `i`; return where it ends, or its text that is no markup."""
    closing = i > start + 1
    name, end_of_name = _name(data, i)
    i, closed, attributes, whole = _tag_end(data, end_of_name)
    if not whole:
        return data.shape[0]
    kind = kind_of(name)
    found[NUM_TAGS] += 1
    if attributes > MAX_ATTRIBUTES or found[NUM_TAGS] > MAX_TAGS:
        found[UNSAFE] = 1
    if not closing and ends_foreign(name, kind):
        counts[NUM_FOREIGN] = 0
    foreign = counts[NUM_FOREIGN] > 0
    if kind in (VOID, CLOSED_BY_NEXT):
        if name == _BODY and not closing and found[BODY] < 0:
            found[BODY] = i
    elif kind == RAW and not foreign:
        return i if closing else _raw(data, start, i, name, cuts, found)
    elif kind == FORMATTING and not foreign:
        format_text(open_, counts, name, closing, _hash(data, end_of_name, i))
    elif closing:
        close_element(open_, counts, name, kind)
    elif not (foreign and closed):
        open_element(open_, counts, name, kind)
    return i


@kernel
def _raw(data, start, i, name, cuts, found):
    """Read an element whose text is no markup, and whose tag ends at `i`; return where it ends."""
    end = _raw_end(data, i, name)
    if name == _TITLE and found[TITLE_END] == 0 and end < data.shape[0]:
        found[TITLE], found[TITLE_END] = i, end
    if end < data.shape[0]:
        end, _, _, _ = _tag_end(data, end + 2)
    return _cut(cuts, found, start, end) if name in (_SCRIPT, _STYLE, _IFRAME) else end


@kernel
def _cut(cuts, found, start, end):
    count = found[NUM_CUTS]
    cuts[count], cuts[count + 1] = start, end
    found[NUM_CUTS] = count + 2
    return end


@kernel
def _hash(data, i, end):
    value = np.uint64(14695981039346656037)
    for j in range(i, end):
        value = (value ^ np.uint64(data[j])) * np.uint64(1099511628211)
    return value
