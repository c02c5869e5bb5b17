"""Which encoding a web page declares in itself: the prescan of the HTML standard, 13.2.3.2.

Beyond the standard, which looks at tags alone, what stands in scripts, styles and titles declares nothing, as it does
not in browsers once they have parsed that far; hence the whole head of a page can be looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# No repetition gives back what it took, so that every byte is looked at once.
_ATTRIBUTE = rb"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)))?+"""
_EACH_ATTRIBUTE = re.compile(_ATTRIBUTE)
_TAG = re.compile(rb"<(/?[a-zA-Z][^\s/>]*+)((?:%s)*+)[\s/]*+>" % re.sub(rb"\((?=\[|\"|')", b"(?:", _ATTRIBUTE))
_BEGUN = re.compile(rb"</?[a-zA-Z]")
_OTHER = re.compile(rb"<[!/?][^>]*+>?+")
_RAW_END = {
    name: re.compile(rb"</%s(?=[\s/>])" % name, re.IGNORECASE)
    for name in (b"script", b"style", b"title", b"textarea", b"xmp", b"iframe", b"noembed", b"noframes")
}
_XML = re.compile(rb"<\?xml\s[^>]{0,200}?encoding\s{0,9}=\s{0,9}[\"']([\w.:-]{1,40})[\"']")
_CONTENT = re.compile(rb"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"']+))", re.IGNORECASE)


def declared_encoding(head: bytes) -> str | None:
    """Return the label that the first `<meta>` with one gives, or else the XML declaration; None without."""
    label = next(_labels(head), None)
    if label is None and (xml := _XML.match(head)):
        label = xml[1]
    return label.strip().decode("ascii", "ignore") or None if label is not None else None


def _labels(head: bytes) -> Iterator[bytes]:
    position = 0
    while (position := head.find(b"<", position)) >= 0:
        if head.startswith(b"<!--", position):
            end = head.find(b"-->", position + 2)
            position = end + 3 if end >= 0 else len(head)
        elif tag := _TAG.match(head, position):
            name, position = tag[1].lower(), tag.end()
            if name == b"meta" and (label := _label(tag[2])):
                yield label
            elif name in _RAW_END:
                end_tag = _RAW_END[name].search(head, position)
                position = end_tag.start() if end_tag else len(head)
        elif _BEGUN.match(head, position):  # a tag without an end; there is no other
            return
        else:
            other = _OTHER.match(head, position)
            position = other.end() if other else position + 1


def _label(attributes: bytes) -> bytes | None:
    """Return the encoding that a `<meta>` declares."""
    found: dict[bytes, bytes] = {}
    for name, *values in _EACH_ATTRIBUTE.findall(attributes):
        found.setdefault(name.lower(), b"".join(values))
    if b"charset" in found:
        return found[b"charset"]
    if found.get(b"http-equiv", b"").strip().lower() == b"content-type":
        match = _CONTENT.search(found.get(b"content", b""))
        return b"".join(match.groups(b"")) if match else None
    return None
