"""SQuAD's layout, articles of paragraphs of questions, as flat rows: one a question, with the text that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

PARAGRAPHS, QUESTIONS = "paragraphs", "qas"
LOOKED_AT = 8
"""Items that are looked at: the first may be empty."""


def is_nested(items: Sequence[Any]) -> bool:
    """Tell whether items are articles, `{"paragraphs": [...]}`, or paragraphs, `{"context": "...", "qas": [...]}`."""
    return any(_is_paragraph(part) for item in items[:LOOKED_AT] for part in (item, *_paragraphs(item)[:LOOKED_AT]))


def _is_paragraph(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get(QUESTIONS), list)


def _paragraphs(item: Any) -> list[Any]:
    found = item.get(PARAGRAPHS) if isinstance(item, dict) else None
    return found if isinstance(found, list) else []


def flat_rows(items: Sequence[Any]) -> Iterator[Any]:
    """Yield a row for each question, with what is known of its paragraph and its article.

    What is not as it should be is yielded as it is: whoever reads it says what is wrong with it.
    """
    for item in items:
        inner = next((name for name in (PARAGRAPHS, QUESTIONS) if isinstance(item, dict) and name in item), None)
        if inner is None or not isinstance(item[inner], list):
            yield item
            continue
        outer = {name: value for name, value in item.items() if name != inner}
        for row in flat_rows(item[inner]) if inner == PARAGRAPHS else item[inner]:
            yield {**outer, **row} if isinstance(row, dict) else row
