"""The inputs of the benchmarks: same seed same rows, copies as planted, documents that are no copies of each other."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SUBJECTS = "river market village council harvest engine garden winter letter bridge captain school doctor window"
VERBS = "crossed watched carried repaired painted measured visited promised described opened followed guarded"
NUMBERS = "one two three four five six seven eight nine ten eleven twelve"


@pytest.fixture(scope="module")
def corpus() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("_corpus")
    sys.path.remove(str(BENCHMARKS))


def english() -> Iterator[str]:
    subjects, verbs, numbers = SUBJECTS.split(), VERBS.split(), NUMBERS.split()
    for a in range(14):
        for b in range(12):
            sentences = [
                f"The {subjects[a]} {verbs[b]} the {subjects[(a + b + c * c) % 14]} near {numbers[c]} of the "
                f"{subjects[(a * 3 + c * 5) % 14]}s that {verbs[(b * 5 + c * 7) % 12]} "
                f"{numbers[(a + c * b) % 12]} {subjects[(b + c * 11) % 14]}s in the {subjects[(a * b + c) % 14]}."
                for c in range(12)
            ]
            yield "\n\n".join([" ".join(sentences[:6]), " ".join(sentences[6:])])


@pytest.fixture(scope="module")
def pool(corpus: ModuleType) -> object:
    corpus.KEPT_RANKS = 5  # the text above has few distinct words
    return corpus.make_pool(english())


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def jaccard(a: str, b: str) -> float:
    left, right = shingles(a), shingles(b)
    return len(left & right) / len(left | right)


def test_the_seed_decides_everything(corpus: ModuleType, pool: object) -> None:
    rows = list(corpus.make_rows(pool, 200_000, seed=1))
    assert rows == list(corpus.make_rows(pool, 200_000, seed=1))
    assert rows != list(corpus.make_rows(pool, 200_000, seed=2))
    assert 200_000 <= sum(len(row["text"].encode()) for row in rows) < 220_000


def test_copies_are_what_they_say(corpus: ModuleType, pool: object) -> None:
    rows = list(corpus.make_rows(pool, 2_000_000))
    texts = {row["id"]: row["text"] for row in rows}
    copies = [row for row in rows if row["copy_of"]]
    assert 0.07 < len(copies) / len(rows) < 0.13
    assert all(row["copy_of"] < row["id"] and (row["copy"] in {"exact", "near"}) for row in copies)
    assert all(row["text"] == texts[row["copy_of"]] for row in copies if row["copy"] == "exact")
    near = [jaccard(row["text"], texts[row["copy_of"]]) for row in copies if row["copy"] == "near"]
    assert len(near) > 15
    assert min(near) > 0.7
    assert sum(near) / len(near) < 0.99


def test_documents_of_the_same_text_differ(corpus: ModuleType, pool: object) -> None:
    """Ten times the real text: documents overlap in what they are made of, yet hardly in their shingles."""
    own = [row["text"] for row in corpus.make_rows(pool, 1_500_000) if not row["copy_of"]]
    alike = [jaccard(a, b) for i, a in enumerate(own[:120]) for b in own[i + 1 : 120]]
    assert sum(similarity > 0.6 for similarity in alike) / len(alike) < 0.001


def test_chinese_stays_chinese(corpus: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "KEPT_RANKS", 5)
    han = [chr(code) for code in range(0x4E00, 0x4E00 + 300)]
    lines = ["".join(han[(i * j + i) % (20 + i % 280)] for j in range(60)) + "。" for i in range(1, 900)]
    rows = list(corpus.make_rows(corpus.make_pool(iter(["\n".join(lines)])), 100_000))
    assert all(len(row["text"].encode()) >= 1000 for row in rows)
    assert all(row["text"].strip("\n").split("\n")[0].endswith("。") for row in rows)
    assert not any(re.search("[a-zA-Z]", row["text"].split("\nWrite to")[0]) for row in rows)


def test_too_little_text_is_refused(corpus: ModuleType) -> None:
    with pytest.raises(ValueError, match="15 bytes of text is too little"):
        corpus.make_pool(iter(["Hello, it's me"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A line that was cut at the margin of the page\nand goes on here.\n\nNext.",
         ["A line that was cut at the margin of the page and goes on here.", "Next."]),
        ("- one\n- two", ["- one\n- two"]),
        ("short\nlines", ["short\nlines"]),
        ("第一句。\n第二句。", ["第一句。", "第二句。"]),
    ],
)  # fmt: skip
def test_paragraphs(corpus: ModuleType, text: str, expected: list[str]) -> None:
    assert list(corpus.paragraphs(text)) == expected


def test_long_paragraphs_are_cut_between_sentences(corpus: ModuleType) -> None:
    parts = list(corpus.paragraphs("This is a sentence of forty characters!! " * 100))
    assert len(parts) > 3
    assert all(len(part) <= corpus.MAX_PARAGRAPH_CHARS and part.endswith("!!") for part in parts)
    assert " ".join(parts).split() == ("This is a sentence of forty characters!! " * 100).split()


def test_written_files_and_their_outcome(corpus: ModuleType, pool: object, tmp_path: Path) -> None:
    counts = corpus.write_corpus(pool, tmp_path / "corpus", 300_000, file_bytes=100_000)
    files = sorted((tmp_path / "corpus").iterdir())
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert [file.name for file in files] == ["part-0000.jsonl", "part-0001.jsonl", "part-0002.jsonl"]
    assert counts["documents"] == len(rows)
    assert counts["bytes"] == sum(len(row["text"].encode()) for row in rows)
    assert corpus.write_corpus(pool, tmp_path / "corpus", 300_000, file_bytes=100_000) == counts
    copies = counts["exact"] + counts["near"]
    assert corpus.outcome(iter(rows)) == {
        "kept": len(rows), "missed_exact": counts["exact"], "missed_near": counts["near"],
    }  # fmt: skip
    assert len(corpus.origins(iter(rows))) == len(rows) - copies
    assert corpus.outcome(row for row in rows if not row["copy_of"])["missed_near"] == 0
