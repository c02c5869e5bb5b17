"""Inputs that make a careless cleaner slow: bait for backtracking, giant lines, buckets of copies, tiny documents."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

_WORDS = """the of and to in that was his with as had for be at by on not is from this which were they but her have an
    when who been their more no if out so what up said about into than them can only other time new some could these two
    may first then do any like my now over such our man me even most made after also well many must before back years
""".split()  # noqa: SIM905 - a list would take a line per word
_SENTENCE = "The committee that met in the spring asked for a report on the state of the roads and of the bridges. "


def _prose(number: int, num_words: int) -> list[str]:
    """Return random words, the same for the same number."""
    return random.Random(number).choices(_WORDS, k=num_words)


def _text(words: list[str]) -> str:
    return "\n".join(" ".join(words[i : i + 14]).capitalize() + "." for i in range(0, len(words), 14))


def _single(unit: str) -> Callable[[int], Iterator[str]]:
    """Return a maker of one document that is nothing but the unit, over and over."""
    return lambda size: iter([unit * (size // len(unit.encode()))])


def _page(unit: str) -> Callable[[int], Iterator[str]]:
    """Return a maker of one web page whose body is the unit, over and over."""
    return lambda size: iter([f"<!doctype html><html><body>{unit * (size // len(unit.encode()))}</body></html>"])


def _identical(size: int) -> Iterator[str]:
    text = _text(_prose(1, 200))
    return (text for _ in range(size // len(text)))


def _near_copies(size: int) -> Iterator[str]:
    """Documents that all differ from one original, each in another word: one bucket per band holds them all."""
    words = _prose(1, 200)
    for number in range(size // len(_text(words))):
        yield _text([*words[: number % 200], f"word{number}", *words[number % 200 + 1 :]])


def _chain(size: int) -> Iterator[str]:
    """Documents of which each shares nine tenths with the next, and the first nothing with the last."""
    length, shift, count = 200, 10, size // 1250
    words = [f"{word}{i // 97}" for i, word in enumerate(_prose(3, count * shift + length))]
    return (_text(words[i * shift : i * shift + length]) for i in range(count))


def _tiny(size: int) -> Iterator[str]:
    return (f"Line {number}." for number in range(size // 10))


INPUTS: dict[str, Callable[[int], Iterator[str]]] = {
    "one line of prose": _single(_SENTENCE),
    "one letter": _single("a"),
    "digits": _single("1234567890"),
    "digits and dashes": _single("1-2 "),
    "dotted numbers": _single("1.1.1.1."),
    "at signs": _single("a@"),
    "mail without end": _single("a.b-c+d@e."),
    "colons": _single("a:b:"),
    "tags": _single("<a <b"),
    "entities": _single("&amp;#"),
    "quotation marks": _single("> "),
    "slashes": _single("http://a/"),
    "blanks": _single(" \t"),
    "line feeds": _single("a\n"),
    "quote marks": _single("> "),
    "brackets": _single("[a]("),
    "emphasis": _single("*a _b "),
    "backticks": _single("`` a"),
    "braces": _single("{{a|"),
    "open comments": _single("<!--"),
    "page of open elements": _page("<div>"),
    "page of links": _page("<a href=x>word</a>"),
    "page of paragraphs": _page("<p>Some words of a sentence.</p>"),
    "NUL": _single("\0a"),
    "combining marks": _single("e\u0301\u0301\u0301"),
    "Chinese without end": _single("的一是不了在有人这中大为上个国我以要他时"),
    "emoji": _single("\U0001f600"),
    "identical documents": _identical,
    "near copies of one": _near_copies,
    "chain of near copies": _chain,
    "tiny documents": _tiny,
}
