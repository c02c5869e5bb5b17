"""Read a page back: every opened element must be closed in order."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br", "wbr"}


class Parsed(HTMLParser):
    """Elements with their attributes, and texts, in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.found, self.text = [], [], []
        self.feed(html)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text.append(text)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def parse(html: str) -> Parsed:
    return Parsed(html)
