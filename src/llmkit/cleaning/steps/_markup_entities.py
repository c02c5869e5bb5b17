"""Character references of HTML, wherever they occur: pages, wikis, Markdown, text escaped once too often."""

from __future__ import annotations

import html
import re

# `html.unescape` alone also turns the `&copy=3` of an address into a sign, and fails on a number of 5,000 digits.
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")


def unescape(text: str) -> str:
    """Return the text with complete references (`&nbsp;`, `&#20013;`) as characters; itself where there are none."""
    return _REFERENCE.sub(lambda match: html.unescape(match[0]), text) if "&" in text else text


def count_references(text: str) -> int:
    """Count what `unescape` would look at."""
    return len(_REFERENCE.findall(text)) if "&" in text else 0
