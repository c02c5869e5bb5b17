"""Reports of tokens: rates worked out by hand, notes that point out trouble, a page that is complete."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llmkit.modeling.token_bytes import token_bytes
from llmkit.modeling.tokenizer import encode_documents
from llmkit.tokenization.report import RARE, make_report, rates, write_token_reports
from llmkit.tokenization.show import Cutter, token_kinds
from llmkit.tokenization.statistics import SPECIAL, UNKNOWN, WHOLE, Counts, TokenStatistics
from tiny import byte_tokenizer

BYTES = byte_tokenizer()
CORPUS = (
    ("train", "web", "en", "A fox & a <b>dog</b>\nTwo lines."),
    ("train", "novel", "zh", "却说曹操见了衣带诏。"),
    ("validation", "web", "en", "Short."),
)


def corpus_statistics():
    texts = [row[3] for row in CORPUS]
    encoded = encode_documents(BYTES, texts)
    statistics = TokenStatistics(token_kinds(BYTES))
    statistics.add(
        documents=[f"d{i}" for i in range(len(texts))],
        splits=[row[0] for row in CORPUS],
        sources=[row[1] for row in CORPUS],
        languages=[row[2] for row in CORPUS],
        num_bytes=np.array([len(text.encode()) for text in texts]),
        num_chars=np.array([len(text) for text in texts]),
        input_ids=np.concatenate(encoded),
        num_tokens=np.array([len(ids) for ids in encoded]),
        text=texts.__getitem__,
    )
    return statistics


def test_rates_by_hand():
    found = rates(Counts(2, 10, 40, 30, 1, 2, unknown=5, words=4, word_tokens=6, unknown_bytes=7, lost_bytes=8))
    assert found == {
        "documents": 2,
        "tokens": 10,
        "bytes": 40,
        "characters": 30,
        "bytes_per_token": 4.0,
        "tokens_per_character": 0.333333,
        "tokens_per_word": 1.5,
        "words_counted": 4,
        "partial_rate": 0.1,
        "byte_fallback_rate": 0.2,
        "unknown_rate": 0.5,
        "unknown_bytes": 7,
        "lost_bytes": 8,
    }
    assert rates(Counts())["bytes_per_token"] is None


def test_the_report_of_a_small_corpus():
    report = make_report(corpus_statistics(), token_bytes(BYTES))
    assert report["total"]["tokens"] == report["total"]["bytes"] == 31 + 30 + 6
    assert list(report["splits"]) == ["train", "validation"]
    assert report["languages"]["zh"]["partial_rate"] == 1.0
    assert report["languages"]["zh"]["tokens_per_word"] == pytest.approx(30 / 9, abs=1e-5)
    assert report["sources"]["web"]["documents"] == 2
    vocabulary = report["vocabulary"]
    assert (vocabulary["size"], vocabulary["special"]) == (261, 5)
    assert vocabulary["used"] + vocabulary["unused"] == 256
    assert vocabulary["rare"] == vocabulary["used"]
    assert vocabulary["most_frequent"][0]["count"] == max(
        "".join(row[3] for row in CORPUS).encode().count(bytes([byte])) for byte in range(256)
    )
    assert report["longest"][0] == {"tokens": 31, "id": "d0", "split": "train", "source": "web", "language": "en"}
    assert "language zh: 100.0% of the tokens are no whole characters" in report["notes"]
    assert any("never occur" in note for note in report["notes"])


def statistics_of(kinds, counts):
    """Statistics of one document with tokens occurring so often."""
    statistics = TokenStatistics(np.array(kinds, np.uint8))
    ids = np.repeat(np.arange(len(counts)), counts).astype(np.uint16)
    statistics.add(
        documents=["d"],
        splits=["train"],
        sources=["s"],
        languages=["en"],
        num_bytes=np.array([len(ids)]),
        num_chars=np.array([len(ids)]),
        input_ids=ids,
        num_tokens=np.array([len(ids)]),
        text=["x" * len(ids)].__getitem__,
    )
    return statistics


def test_coverage_by_hand():
    counts = [0, 500, 0, 400, RARE - 1, 1]
    found = make_report(statistics_of([SPECIAL] + [WHOLE] * 5, counts), [b"x"] * 6)["vocabulary"]
    assert found["covers"] == {"0.5": 1, "0.9": 2, "0.99": 3, "0.999": 3}
    assert (found["used"], found["unused"], found["rare"], found["special"]) == (4, 1, 2, 1)
    assert [item["id"] for item in found["most_frequent"]] == [1, 3, 4, 5]
    assert [item["id"] for item in found["first_unused"]] == [2]


def test_special_tokens_of_the_text_are_not_among_those_in_use():
    found = make_report(statistics_of([SPECIAL, WHOLE, WHOLE], [500, 400, 0]), [b"x"] * 3)["vocabulary"]
    assert (found["used"], found["unused"], found["rare"], found["special"]) == (1, 1, 0, 1)


def test_unknown_tokens_are_pointed_out():
    report = make_report(statistics_of([UNKNOWN, WHOLE], [1, 99]), [b"u", b"w"])
    assert report["notes"] == ["1.0% of the tokens are unknown: that text is lost"]
    assert make_report(statistics_of([UNKNOWN, WHOLE], [0, 99]), [b"u", b"w"])["notes"] == [
        "1 of 2 tokens (50.0%) never occur"
    ]


def test_the_files_are_complete_and_the_same_every_time(tmp_path):
    folders = [tmp_path / name / "tokens" for name in ("one", "two")]
    for folder in folders:
        folder.mkdir(parents=True)
        write_token_reports(folder, corpus_statistics(), Cutter(BYTES))
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second
    assert set(first) == {"report.json", "report.html"}
    assert json.loads(first["report.json"])["total"]["documents"] == 3


def test_the_page_shows_samples_at_their_borders_and_loads_nothing(tmp_path):
    write_token_reports(tmp_path, corpus_statistics(), Cutter(BYTES))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>dog" not in page  # text is escaped
    fox = [f'<i title="{BYTES.convert_tokens_to_ids(c)}  {c}">{c}</i>' for c in "fox"]
    assert "".join(fox) in page
    assert page.count(">…</i>") == 2 * 10  # every Chinese character: two parts and the one that completes it
    assert ">曹</i>" in page
    assert "⏎\n</i>" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    for heading in ("Splits", "Languages", "Sources", "Samples", "Tokens per document", "Vocabulary"):
        assert f"<h2>{heading}</h2>" in page


def test_a_corpus_without_tokens_has_a_report_too(tmp_path):
    write_token_reports(tmp_path, TokenStatistics(token_kinds(BYTES)), Cutter(BYTES))
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["total"]["tokens"] == 0
    assert "0 tokens of 0 documents" in (tmp_path / "report.html").read_text(encoding="utf-8")
