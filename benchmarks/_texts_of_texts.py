"""Data and baselines of benchmarks/finetune_translation.py: pairs of texts, and what needs no model."""

from __future__ import annotations

import ast
import gzip
import hashlib
import inspect
import json
import re
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

Pair = tuple[str, str]
TEST_SHARES = {"translation": 0.02, "summarization": 0.1}
ROUNDS = 6
"""Of expectation and maximization."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\w+|[^\w\s]")


def translations(path: Path, longest: int) -> Iterator[Pair]:
    """Yield `src` and `tgt` of rows of JSON Lines, where both have at most so many letters."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            pair = row["src"].strip(), row["tgt"].strip()
            if all(pair) and max(map(len, pair)) <= longest:
                yield pair


def docstrings(longest: int) -> Iterator[Pair]:
    """Yield the body of each docstring of the standard library, and its first sentence."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if {"test", "tests", "site-packages", "idle_test", "lib2to3"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                text = inspect.cleandoc(ast.get_docstring(node) or "")
                first, _, body = text.partition("\n\n")
                parts = _SENTENCE.split(" ".join(first.split()))
                body = " ".join([*parts[1:], *body.split()])
                if len(parts[0].split()) >= 3 and len(body) >= 40 and len(parts[0]) <= 160:
                    yield body[:longest], parts[0]


def split(pairs: Iterator[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
    """Return rows to train on and rows held out, by a hash of the source; of equal sources or targets none on both."""
    train: list[Pair] = []
    test: list[Pair] = []
    for pair in dict.fromkeys(pairs):
        digest = int.from_bytes(hashlib.blake2b(pair[0].encode(), digest_size=8).digest())
        (test if digest < share * 2**64 else train).append(pair)
    known = {text for pair in train for text in pair}
    return train, [pair for pair in test if not known & {*pair}]


def first_sentence(text: str) -> str:
    """Return the first sentence of a text."""
    return _SENTENCE.split(text)[0]


def words(text: str) -> list[str]:
    """Return words and signs, lowercased."""
    return _WORD.findall(text.lower())


def word_table(train: Sequence[Pair], cut: Callable[[str], list[str]]) -> dict[str, str]:
    """Return the likeliest translation of each word, by IBM model 1 (Brown et al. 1993) with a word for nothing.

    Args:
        train: Pairs to learn from.
        cut: Cuts a target into words.
    """
    bitext = [(["", *words(source)], cut(target)) for source, target in train]
    table: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(lambda: 1e-3))
    for number in range(ROUNDS):
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for source, target in bitext:
            for word in target:
                chances = [1.0 if number == 0 else table[one][word] for one in source]
                total = sum(chances)
                for one, chance in zip(source, chances, strict=True):
                    counts[one][word] += chance / total
        for one, found in counts.items():
            total = found.total()
            table[one] = defaultdict(float, {word: count / total for word, count in found.items()})
    return {one: max(found, key=lambda word: found[word]) for one, found in table.items() if one and found}


def word_for_word(table: dict[str, str], source: str) -> str:
    """Return a source with each word replaced by its translation; a word that is not known stays."""
    return "".join(table.get(word.lower(), word) for word in _WORD.findall(source))
