"""What is no name of a column is not printed as one: a first row that is no header, and keys that are people."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

CARD = "4111 1111 1111 1111"
"""The issuers' number for tests."""
VALUES = ("Wang", "wang@", "li@", "4111", "13800001111")


@pytest.fixture
def people(tmp_path):
    folder = tmp_path / "people"
    folder.mkdir()
    rows = f"Wang Wei,wang@example.com,{CARD}\nLi Lei,li@example.com,{CARD}\n"
    (folder / "a.csv").write_text(rows, encoding="utf-8")
    (folder / "b.jsonl").write_text('{"li@example.com": "hello", "+8613800001111": 1}\n' * 2, encoding="utf-8")
    (folder / "c.jsonl").write_text("".join(f'{{"text": "read {i}"}}\n' for i in range(9)), encoding="utf-8")
    return folder


def leaks(*said):
    return [(value, text) for value in VALUES for text in said if value in text]


def test_neither_terminal_nor_report_nor_rejects_name_people(cli, people):
    outcome = cli("clean", "-i", people, "-o", "out", "--json", "-s", "steps=[]")
    assert outcome.code == 0
    report = Path("out/report.html").read_text(encoding="utf-8") + Path("out/report.json").read_text(encoding="utf-8")
    rejected = pq.read_table("out/rejected").to_pylist()
    assert len(rejected) >= 3
    assert leaks(outcome.out, outcome.err, report, str(rejected)) == []
    assert "the row has: (2 not named here, since they hold <EMAIL> and <NUMBER>" in outcome.err


def test_nor_does_a_preview(cli, people):
    outcome = cli("clean", "-i", people, "-o", "none", "-s", "steps=[]", "--preview", "3")
    assert outcome.code == 0
    assert leaks(outcome.out, outcome.err) == []


@pytest.mark.parametrize("name", ["a.csv", "b.jsonl"])
def test_nor_the_error_that_finds_no_kind_of_rows(cli, people, name):
    outcome = cli("clean", "-i", people / name, "-o", "rows", "--row", "auto")
    assert outcome.code in (2, 3)
    assert leaks(outcome.out, outcome.err) == []
