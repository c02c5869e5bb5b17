"""Find the main text of a parsed page: the element that holds the article, less what stands around it.

Resiliparse (Bevendorff et al. 2018) leaves out menus, footers and advertisements by the names of their classes. What it
keeps of a page is narrowed here: to the element that publishers name as their article's, or else to the parent of most
of the paragraphs, without what is named as a teaser, an author's note or the like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from resiliparse.parse.html import ElementNode, HTMLTree, Node

NUM_LEVELS = 3
LEVELS = b"<main>" * NUM_LEVELS
"""Resiliparse takes every `<ul>`, `<nav>`, `<aside>` and `<footer>` within three levels of the body for navigation, and
with it the lists of a page that has little nesting. Three elements more leave lists to the rules about names; the rest
of that rule is put back as selectors."""
_TOP = ">".join(["main"] * NUM_LEVELS)
SKIPPED = ["nav", *(f"{_TOP}>{between}{name}" for name in ("footer", "aside") for between in ("", "*>"))]

MIN_CHARS = 400
"""An element with less text than this, or than these shares of the page's and of its rivals', is not the main one."""
MIN_SHARE = 0.1
MIN_DOMINANCE = 0.5
MIN_PARAGRAPHS = 0.6
MAX_ASIDE = 0.3
"""What holds a larger share of the text than this is no aside, whatever its name."""
MAX_RIVALS = 30
MAX_DEAD_END = 60

# What publishers name as their article's element, the surest first.
_BODIES = frozenset(
    {
        "article-body", "articleBody", "article__body", "article-content", "article__content", "article-text",
        "content-body", "entry", "entry-content", "post-body", "post-content", "story-body",
    }
)  # fmt: skip
_CONTENTS = frozenset({"content", "main", "main-content"})
# Few selectors that find more are faster than one for each name.
_CANDIDATES = (
    "article,main,[itemprop=articleBody],[role=main],[class*=content],[class*=article],[class*=entry],[class*=-body],"
    "[id*=content],#main"
)
_NO_CANDIDATE = 5
_ASIDES = [
    "advert", "author", "banner", "bio", "breadcrumb", "byline", "caption", "comment", "cookie", "copyright", "credit",
    "disclaimer", "follow", "footer", "meta", "newsletter", "pagination", "promo", "rating", "recommend", "related",
    "share", "sharing", "sidebar", "signup", "social", "subscribe", "tags", "teaser", "widget",
]  # fmt: skip
# Whole words: `bio` is no part of `biology`.
_ASIDE = re.compile(
    rf"(?:(?<![a-z])|(?<=[a-z])(?=[A-Z]))(?i:{'|'.join(_ASIDES)})(?:s|e?d|ing|ations?|isement|bars?|boxe?s?)?(?![a-z])"
)
_SENTENCE_ENDS = frozenset(".!?…。！？")
_HEADINGS = "h1,h2,h3,h4,h5,h6,a"


def narrow(tree: HTMLTree) -> ElementNode | None:
    """Leave of the body, which must begin with `LEVELS`, only its main element; return it, None where all stays."""
    inner = tree.body and tree.body.query_selector(_TOP)  # a page of frames has no body
    if inner is None:
        return None
    main = _main_element(inner)
    _remove_asides(main or inner)
    if main is not None:
        inner.replace_children(main)
    return main or inner


def without_dead_end(text: str, main: ElementNode) -> str:
    """Return a text without the headings and links that it ends in, and nothing follows: they lead elsewhere."""
    lines = text.split("\n")
    count = len(lines)
    if lines[-1][-1:] in _SENTENCE_ENDS:
        return text
    titles = {
        " ".join((node.text or "").split()) for node in main.query_selector_all(_HEADINGS).values()[-MAX_DEAD_END:]
    }
    while count > 1 and (not (line := " ".join(lines[count - 1].split())) or line in titles):
        count -= 1
    return "\n".join(lines[:count])


def _main_element(body: ElementNode) -> ElementNode | None:
    ranks: list[list[ElementNode]] = [[] for _ in range(_NO_CANDIDATE + 1)]
    for node in body.query_selector_all(_CANDIDATES).values():
        ranks[_rank(node)].append(node)
    num_chars = len(body.text or "")
    for nodes in ranks[:_NO_CANDIDATE]:
        sizes = _sizes(nodes[:MAX_RIVALS])
        size = max(sizes, default=0)
        if size >= max(MIN_CHARS, MIN_SHARE * num_chars, MIN_DOMINANCE * sum(sizes)):
            return nodes[sizes.index(size)]
    return _parent_of_paragraphs(body)


def _rank(node: ElementNode) -> int:
    """Return how sure it is, from 0, that a candidate holds the article."""
    tag = node.tag
    if node.getattr("itemprop") == "articleBody":
        return 0
    names = frozenset((node.class_name or "").split())
    if not _BODIES.isdisjoint(names):
        return 1
    if tag == "article":
        return 2
    if tag == "main" or node.getattr("role") == "main":
        return 3
    return 4 if node.id in _CONTENTS or not _CONTENTS.isdisjoint(names) else _NO_CANDIDATE


def _parent_of_paragraphs(body: ElementNode) -> ElementNode | None:
    """Return the element that holds most of the text in paragraphs."""
    sizes: dict[Node, int] = {}
    for paragraph in body.query_selector_all("p").values():
        if (parent := paragraph.parent) is not None:
            sizes[parent] = sizes.get(parent, 0) + len(paragraph.text or "")
    if not sizes:
        return None
    parent = max(sizes, key=sizes.__getitem__)
    enough = sizes[parent] >= max(MIN_CHARS, MIN_PARAGRAPHS * sum(sizes.values()))
    return cast("ElementNode", parent) if enough else None


def _remove_asides(main: ElementNode) -> None:
    found = [node for node in main.query_selector_all("[class],[id]").values() if _is_aside(node.class_name, node.id)]
    if not found:
        return
    limit = MAX_ASIDE * len(main.text or "")
    for node, size in zip(found, _sizes(found), strict=True):
        if size < limit:
            node.remove()


@lru_cache(8192)
def _is_aside(*names: str | None) -> bool:
    return any(name and _ASIDE.search(name) for name in names)


def _sizes(nodes: Iterable[ElementNode]) -> list[int]:
    return [len(node.text or "") for node in nodes]
