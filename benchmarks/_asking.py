"""Questions about the Linux documentation with answers in it, made by rule: what a term is, by its own description.

A term is an item of a list or a definition, such as `dirty_ratio` or ``noatime``, with its description behind or below
it. The question is "What is TERM?", the answer the first sentence of the description, and the text what stands around
the item in its document: those before and behind it that fit, so that several descriptions could be the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

_NAME = r"``[^`\n]{2,40}``|\*\*[\w./=-]{2,40}\*\*|[A-Za-z][\w.-]*[_=][\w.=<>-]{1,40}|[A-Z][A-Z0-9_]{3,40}"
_ITEM = re.compile(
    rf"^(?P<indent>[ \t]*)(?:[-*+] )?(?P<term>{_NAME})(?:(?: ?:| -{{1,2}}) +(?P<same>\S[^\n]*)| ?:?)\n"
    r"(?P<more>(?:(?P=indent)[ \t]+\S[^\n]*\n)*)",
    re.MULTILINE,
)
_END = re.compile(r"(?<=[a-z0-9)`'\"])(?<!\bi\.e)(?<!\be\.g)(?<!\betc)(?<!\bvs)[.](?=\s|$)")
_MARKUP = (":", "..", "-", "*", "+", "|", "=")
HELD_OUT = 5
"""One document in so many is held out."""


@dataclass(frozen=True)
class Item:
    """A term with its description.

    Attributes:
        start, end: Where the item stands in its document.
        term: What is asked about.
        answer: The first sentence, as it stands in a line.
    """

    start: int
    end: int
    term: str
    answer: str


def items(document: str) -> Iterator[Item]:
    """Yield the terms of a document whose description begins with a sentence of 20 to 140 characters."""
    for found in _ITEM.finditer(document):
        text = " ".join(f"{found['same'] or ''} {found['more']}".split())
        end = _END.search(text)
        answer = text[: end.start()] if end else ""
        if 20 <= len(answer) <= 140 and answer[0].isalpha() and "::" not in answer and not text.startswith(_MARKUP):
            yield Item(found.start(), found.end(), found["term"].strip("`*"), answer)


def questions(documents: Iterable[str], *, held_out: bool, room: int) -> Iterator[dict[str, Any]]:
    """Yield SQuAD's articles, one a document that has terms, of the documents held out or of the others.

    Args:
        documents: Texts.
        held_out: Which of them; a hash of the text decides.
        room: Most characters of a text that a question is about.
    """
    for number, document in enumerate(documents):
        if (blake2b(document.encode(), digest_size=4).digest()[0] % HELD_OUT == 0) is not held_out:
            continue
        paragraphs = [
            {"context": text, "qas": [{"id": f"{number}-{item.start}", "question": f"What is {item.term}?",
                                       "answers": [{"text": item.answer, "answer_start": start}]}]}
            for item in items(document)
            if (placed := _around(document, item, room)) is not None
            for text, start in [placed]
        ]  # fmt: skip
        if paragraphs:
            yield {"title": str(number), "paragraphs": paragraphs}


def _around(document: str, item: Item, room: int) -> tuple[str, int] | None:
    """Return the lines around an item, and where in them the answer stands; None where it stands there twice."""
    spare = max(0, room - (item.end - item.start))
    share = int(blake2b(item.term.encode(), digest_size=2).hexdigest(), 16) % (spare + 1)
    begin = document.find("\n", max(0, item.start - share - 1), item.start)
    begin = item.start if begin < 0 else begin + 1
    stop = document.rfind("\n", item.end, item.end + spare - share)
    text = " ".join(document[begin : max(stop, item.end)].split())
    return (text, text.index(item.answer)) if text.count(item.answer) == 1 else None
