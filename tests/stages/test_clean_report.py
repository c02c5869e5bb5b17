"""The report and the preview of clean, through the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

EMAIL = "Please write to someone@example.org about it."
ROWS = [
    {"text": "The river runs to the sea.  ", "label": 1},
    {"text": EMAIL, "label": 0},
    {"text": "这本书很好看，我很喜欢。", "label": 1},
    {"text": "这本书很好看，我很喜欢。", "label": 0},
    {"text": "这本书很好看，我很喜欢。", "label": 1},
    {"text": "short", "label": 1},
    {"text": "tiny", "label": 1},
]
STEPS = "steps=[normalize, {type: length, min_chars: 10}, exact_duplicates, pii, repair, shuffle]"


@pytest.fixture
def rows(jsonl):
    path = jsonl("reviews.jsonl", ROWS)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"text": "cut off\n')
    return path


@pytest.fixture
def made(cli, rows):
    outcome = cli("clean", "-i", rows, "-s", STEPS, "-o", "out")
    assert outcome.code == 0
    report = json.loads(Path("out/report.json").read_text(encoding="utf-8"))
    return outcome, report, Path("out/report.html").read_text(encoding="utf-8")


def test_the_report_is_a_funnel(made):
    _, report, _ = made
    funnel = [(s["step"]["type"], s["reached"], s["changed"], s["dropped"]) for s in report["steps"]]
    assert funnel == [
        ("normalize", 7, 1, 0), ("length", 7, 0, 2), ("exact_duplicates", 5, 0, 2), ("pii", 3, 1, 0),
        ("repair", 3, 0, 0), ("shuffle", 3, 0, 0),
    ]  # fmt: skip
    assert report["documents"] == {"read": 8, "kept": 3, "rejected": 4, "failed": 1}
    assert sum(rule["documents"] for rule in report["steps"][2]["rules"]) == 2
    assert report["steps"][3]["counted"] == {"email": 1}
    assert report["steps"][2]["counted"] == {"texts with copies": 1, "label conflicts": 1}
    assert report["sources"] == {
        "reviews": {"read": 7, "kept": 3, "bytes_kept": report["bytes"]["kept"], "fell_by": {"length.min_chars": 2}}
    }
    num_bytes = report["bytes"]
    assert num_bytes["read"] == sum(len(row["text"].encode()) for row in ROWS)
    assert num_bytes["rewritten"] == 2 + len("someone@example.org") - len("<EMAIL>")
    assert num_bytes["kept"] == num_bytes["read"] - num_bytes["dropped"] - num_bytes["rewritten"]


def test_before_and_after_count_what_was_read_and_kept(made):
    _, report, _ = made
    for measure in report["measures"]:
        assert (sum(measure["before"]["bins"]), sum(measure["after"]["bins"])) == (7, 3)
    chars = report["measures"][0]
    assert chars["before"]["mean"] == pytest.approx(sum(len(row["text"]) for row in ROWS) / 7)
    assert chars["after"]["mean"] == pytest.approx((26 + len(EMAIL) - 12 + 12) / 3)


def test_the_page_is_whole(made):
    _, report, html = made
    text = re.sub(r"<wbr>", "", html)
    assert not re.search(r"<script|https?://|src=|href=|url\(", html)
    assert "prefers-color-scheme: dark" in html
    for rule in report["rules"]:
        assert f"<summary><em>{rule['documents']}</em>{rule['rule']}</summary>" in text
    assert "这本书很好看，我很喜欢。" in html
    assert "Step 2 (exact_duplicates) found 1 text with different labels" in html
    assert "label conflicts" in html
    assert "1 of 8 rows could not be read" in html


def test_the_terminal_says_the_same_in_short(made):
    outcome, _, _ = made
    lines = outcome.out.splitlines()
    assert lines[1] == "  documents  3 kept of 8 (37.5%)"
    assert lines[2].startswith("  fell       ")
    assert "length.min_chars 2" in lines[2]
    assert lines[3].startswith("  text       ")
    assert lines[4] == "  report     out/report.html"
    assert [line for line in lines if "note:" in line] == [
        "  note: step 2 (exact_duplicates) found 1 text with different labels",
        "  note: step 4 (repair) neither changed nor dropped a document",
        "  note: 1 of 8 rows could not be read",
    ]
    assert all(line == line.rstrip() for line in lines)


def test_many_rules_are_summed_up(cli, monkeypatch, jsonl):
    monkeypatch.setattr("llmkit.stages.clean._RULES_SHOWN", 2)
    path = jsonl("a.jsonl", ["x", "y", "z" * 99, "same text", "same text", "kept text"])
    steps = "steps=[{type: length, min_chars: 2, max_chars: 50}, exact_duplicates]"
    outcome = cli("clean", "-i", path, "-s", steps, "-o", "out")
    assert "  fell       length.min_chars 2, 2 more rules\n" in outcome.out


def test_samples_hold_rule_value_threshold_source_and_file(made, rows):
    fell = {row["rule"]: row for row in pq.read_table("out/rejected/sample.parquet").to_pylist()}
    sample = fell["length.min_chars"]
    assert sample["text"] in ("tiny", "short")
    assert sample["value"] == str(len(sample["text"]))
    assert (sample["threshold"], sample["source"], sample["file"]) == ("10", "reviews", str(rows))


def test_a_preview_shows_what_would_happen_and_writes_nothing(cli, rows, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    outcome = cli("clean", "-i", rows, "-s", STEPS, "--preview", 20)
    assert outcome.code == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert outcome.out.splitlines()[:4] == [
        "1/7 reviews | reviews.jsonl row 1 | 28 -> 26 characters | changed",
        "  0 normalize: changed",
        "    The river runs to the sea.[-··-]",
        "",
    ]
    assert "write to [-someone@example.org-]{+<EMAIL>+} about it." in outcome.out
    assert "  3 pii: changed, email 1\n" in outcome.out
    assert "6/7 reviews | reviews.jsonl row 6 | 5 characters | dropped" in outcome.out
    assert "  1 length: dropped by length.min_chars: 5 (threshold 10)\n    short\n" in outcome.out
    assert "preview: 7 documents, 5 kept, 2 dropped; drawn with seed 0 from 8 rows in 1 file" in outcome.out
    assert "they look at all documents together: 2 exact_duplicates, 5 shuffle" in outcome.out
    assert "reviews.jsonl:8: invalid JSON" in outcome.err
    assert all(line == line.rstrip() and "\x1b" not in line for line in outcome.out.splitlines())


def test_control_characters_of_the_data_stay_in_the_data(cli, jsonl):
    path = jsonl("a.jsonl", [{"text": "\x1b[2J gone \x00 \x07 春天\u200b"}])
    for steps in ("[]", "[normalize]"):
        outcome = cli("clean", "-i", path, "-s", f"steps={steps}", "--preview", 1)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\u200b]", outcome.out)
        assert "\\x1b" in outcome.out
        assert "\\u200b" in outcome.out


def test_a_preview_as_json(cli, rows):
    found = cli("clean", "-i", rows, "-s", STEPS, "--preview", 20, "--json", "-o", "out").json
    assert not Path("out").exists()
    assert (found["status"], found["exit_code"], found["kept"], found["dropped"]) == ("preview", 0, 5, 2)
    assert [step["type"] for step in found["not_in_preview"]] == ["exact_duplicates", "shuffle"]
    assert [step["type"] for step in found["steps"]] == ["normalize", "length", "pii", "repair"]
    assert found["steps"][2]["counted"] == {"email": 1}
    second = found["documents"][1]
    assert (second["file"], second["row"], second["kept"]) == ("reviews.jsonl", 2, True)
    assert second["after"] == EMAIL.replace("someone@example.org", "<EMAIL>")
    dropped = found["documents"][5]["steps"][-1]["drop"]
    assert dropped == {"rule": "length.min_chars", "value": 5, "threshold": 10}
    assert found["rows_unreadable"] == 1


def test_long_documents_take_no_more_than_a_screenful(cli, jsonl):
    path = jsonl("a.jsonl", ["\n".join(f"line {i} of a@example.org  " for i in range(5000)), "z" * 100_000])
    outcome = cli("clean", "-i", path, "-s", "steps=[pii]", "--preview", 2)
    assert "    ... more changes\n" in outcome.out
    assert len(outcome.out.splitlines()) < 30
    assert max(map(len, outcome.out.splitlines())) < 200


def test_errors_of_a_preview(cli, jsonl):
    assert cli("clean", "-i", "nowhere.jsonl", "--preview", 3).code == 3
    assert cli("clean", "-i", jsonl("a.jsonl", ["text"]), "--preview", 0).code == 2
    empty = cli("clean", "-i", jsonl("empty.jsonl", []), "--preview", 3)
    assert (empty.code, "nothing to preview" in empty.err) == (3, True)
    mixed = cli("clean", "-s", "inputs=[a.jsonl, {type: files, path: a.jsonl, messages_field: m}]", "--preview", 3)
    assert (mixed.code, "clean them into two outputs" in mixed.err) == (2, True)
    assert cli("tokenize", "--preview", 3).code == 2
